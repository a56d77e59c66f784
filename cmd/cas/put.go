package main

import (
	"context"
	"fmt"
	"path/filepath"

	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// putCmd stores files.
type putCmd struct {
	settings.Client

	Paths     []string `arg:"" name:"path" help:"Files, folders with -r, or - for standard input."`
	Recursive bool     `short:"r" help:"Store the files in folders, too. Symbolic links in them are not followed."`
	Name      string   `placeholder:"NAME" help:"Name to keep with the blob; the file's own if empty. For one file only."`
	MediaType string   `placeholder:"TYPE" help:"Media type of what is stored, such as text/markdown; the gateway finds out if empty."`
	Providers []string `placeholder:"PROVIDER" help:"Providers to make copies at, in the background, such as kimi,glm. cas sync waits for them."`
	Parallel  int      `default:"4" help:"How many files to read or send at once."`
	JSON      bool     `name:"json" help:"Print a JSON object for each file."`
	Quiet     bool     `short:"q" help:"Print no progress and no notes, only results and errors."`
}

// Help is what --help adds.
func (putCmd) Help() string {
	return `Standard output has a line for each file, in the order of the arguments: the hash URL alone where one file was asked for, and the hash URL, a tab and the path where there may be several (more than one PATH, or -r).

With --json it has an object for each file: "path", and either the blob ("digest", "size", "media_type", "name", "created_at", "deduplicated", "copies" where some were asked for, "url") or an "error" ("message", and "code" and "operation_id" where the gateway answered it).

What the gateway has already is not sent again. A file that fails doesn't stop the others; where some failed the exit code is 7.`
}

// Run stores the files.
func (c *putCmd) Run(ctx context.Context, std terminal.Streams) error {
	if err := c.check(); err != nil {
		return err
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()

	items := collect(c.Paths, c.Recursive, shown)
	if c.Name == "" {
		for _, item := range items {
			item.options.Name = item.ownName()
		}
	} else if len(items) > 0 {
		items[0].options.Name = c.Name
	}
	for _, item := range items {
		item.options.MediaType, item.options.Providers = c.MediaType, c.Providers
	}
	if err := checkProviders(ctx, gateway, items, c.Providers); err != nil {
		return adviseCopy(err)
	}
	u := &uploader{gateway: gateway, stdin: std.In, parallel: c.Parallel, shown: shown}
	stopped := make(chan error, 1)
	go func() { stopped <- u.store(ctx, items) }()
	printErr := c.print(ctx, items, shown)
	if err := <-stopped; err != nil {
		return advise(err)
	}
	return printErr
}

// check refuses flags that contradict each other.
func (c *putCmd) check() error {
	var err error
	if c.Providers, err = providerNames(c.Providers); err != nil {
		return err
	}
	return checkPaths(c.Paths, c.Recursive, c.Name, c.Parallel)
}

// putResult is a line of JSON output.
type putResult struct {
	Path string `json:"path"`
	*api.Blob
	Error *jsonError `json:"error,omitempty"`
}

// print prints what came of each file, in their order, as it becomes known.
func (c *putCmd) print(ctx context.Context, items []*putItem, shown *terminal.Progress) error {
	var files tally
	withPaths := len(c.Paths) > 1 || c.Recursive
	for _, item := range items {
		<-item.done
		files.add(item.err)
		var err error
		switch {
		case c.JSON:
			err = terminal.PrintJSON(shown.Stdout(), item.result())
		case item.err == nil && withPaths:
			_, err = fmt.Fprintf(shown.Stdout(), "%s\t%s\n", item.blob.URL, terminal.Printable(item.path))
		case item.err == nil:
			_, err = fmt.Fprintln(shown.Stdout(), item.blob.URL)
		}
		if err != nil {
			return err
		}
		if item.err != nil && !item.stopped {
			terminal.PrintError(shown.Stderr(), item.path, adviseCopy(item.err))
		}
		for _, asked := range item.blob.Asked {
			files.add(reportAsked(shown, item.path, asked))
		}
	}
	return files.err(ctx)
}

// reportAsked tells what became of a copy that was asked for, and returns why it can't
// be made.
func reportAsked(shown *terminal.Progress, path string, asked api.AskedCopy) error {
	what := path + " → " + asked.Provider
	if asked.Error != nil {
		err := adviseCopy(&client.Error{Problem: *asked.Error})
		terminal.PrintError(shown.Stderr(), what, err)
		return err
	}
	shown.Note("copy %-8s  %9s  %s (%s)", asked.State, "", terminal.Printable(what), asked.Purpose)
	return nil
}

func (i *putItem) result() putResult {
	if i.err != nil {
		return putResult{Path: i.path, Error: newJSONError(i.err)}
	}
	return putResult{Path: i.path, Blob: &i.blob}
}

// ownName is the name kept with a file unless another is given.
func (i *putItem) ownName() string {
	if i.streamed {
		return ""
	}
	return filepath.Base(i.path)
}
