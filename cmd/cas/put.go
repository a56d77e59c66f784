package main

import (
	"context"
	"strings"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/api"
)

// putCmd stores files.
type putCmd struct {
	settings.Client

	Paths     []string `arg:"" name:"path" help:"Files, folders with -r, or - for standard input."`
	Recursive bool     `short:"r" help:"Store the files in folders, too. Symbolic links in them are not followed."`
	Exclude   []string `sep:"none" placeholder:"PATTERN" help:"With -r: leave out files and folders of this name, or of this path below the folder, such as *.tmp or cache/*; may be repeated."`
	DryRun    bool     `name:"dry-run" help:"Store nothing: hash the files, and say which of them would be sent."`
	Name      string   `placeholder:"NAME" help:"Name to keep with the blob; the file's own if empty. A blob that has a name keeps it. For one file only."`
	MediaType string   `placeholder:"TYPE" help:"Media type, such as text/markdown; the gateway detects it if empty, or if the bytes are of another type."`
	Providers []string `name:"provider" aliases:"providers" placeholder:"PROVIDER" help:"Providers to make copies at, in the background, such as kimi,glm. cas sync waits for them."`
	Parallel  int      `default:"4" help:"How many files to read or send at once."`
	JSON      bool     `name:"json" help:"Print a JSON object for each file."`
	Verbose   bool     `short:"v" help:"Print a line for each of many files, in place of one bar and a summary."`
	Quiet     bool     `short:"q" help:"Print no progress and no notes, only results and errors."`
}

// Help returns the text that --help adds.
func (putCmd) Help() string {
	return `Standard output has a line for each file, in the order of the arguments: the hash URL alone where one file was asked for, and the hash URL, a tab and the path where there may be several (more than one PATH, or -r).

With --json it has an object for each file: "path", and either the blob ("digest", "size", "media_type", "name", "created_at", "deduplicated", "copies" where some were asked for, "url") or an "error" ("message", and "code" and "operation_id" where the gateway answered it). Of folders without files it has the one object {"files":0}.

Bytes that the gateway has are not sent again. A file that fails doesn't stop the others, unless the gateway has no room (507); if some failed, the exit code is 7.`
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

	items := transfer.Find(c.Paths, shown, transfer.FindOptions{Recursive: c.Recursive, Exclude: c.Exclude})
	if c.Name == "" {
		for _, item := range items {
			item.Options.Name = item.OwnName()
		}
	} else if len(items) > 0 {
		items[0].Options.Name, items[0].Named = c.Name, true
	}
	for _, item := range items {
		item.Options.MediaType, item.Options.Providers = c.MediaType, c.Providers
	}
	if err := transfer.CheckProviders(ctx, gateway, items, c.Providers); err != nil {
		return report.AdviseCopy(err)
	}
	u := &transfer.Uploader{Gateway: gateway, Parallel: c.Parallel, Shown: shown, DryRun: c.DryRun, Verbose: c.Verbose}
	return storeAndPrint(
		func() error { return u.Store(ctx, items) },
		func() error { return c.print(ctx, items, shown) },
	)
}

// check refuses flags that contradict each other.
func (c *putCmd) check() error {
	var err error
	if c.Providers, err = argument.Providers(c.Providers); err != nil {
		return err
	}
	return transfer.CheckUpload(transfer.UploadFlags{Paths: c.Paths, Recursive: c.Recursive, Exclude: c.Exclude, Name: c.Name, Parallel: c.Parallel})
}

// text is the line of a stored file: its URL, and in a dry run only its digest.
func (c *putCmd) text(item *transfer.Item) string {
	if c.DryRun {
		return item.Blob.Digest.String()
	}
	return item.Blob.URL
}

// putResult is a line of the JSON output.
type putResult struct {
	Path string `json:"path"`
	*api.Blob
	Error *report.JSONError `json:"error,omitempty"`
}

// print prints the result of each file, in their order, as soon as it is known.
func (c *putCmd) print(ctx context.Context, items []*transfer.Item, shown *terminal.Progress) error {
	out := putOutput{shown: shown, json: c.JSON, withPaths: len(c.Paths) > 1 || c.Recursive, advise: report.AdviseCopy}
	// A terminal would scroll past thousands of URLs.
	out.sumsUp = !c.Verbose && len(items) > maxShown && terminal.IsTerminal(shown.Streams().Out)
	if len(items) == 0 {
		return out.nothing()
	}
	for _, item := range items {
		<-item.Done
		if err := out.print(putOutcome{item: item, text: c.text(item), object: c.result(item), asked: item.Blob.Asked}); err != nil {
			return err
		}
		if unlike := item.Unlike(item.Blob); item.Err == nil && len(unlike) > 0 && !c.DryRun {
			shown.Note("not as given    %s: %s", terminal.Printable(item.Path), strings.Join(unlike, ", "))
		}
	}
	return out.files.Err(ctx)
}

// dryPutResult is a line of the JSON output of a dry run.
type dryPutResult struct {
	Path      string     `json:"path"`
	Digest    cas.Digest `json:"digest"`
	Size      int64      `json:"size"`
	WouldSend bool       `json:"would_send"`
}

// result is the JSON of an item.
func (c *putCmd) result(i *transfer.Item) any {
	switch {
	case i.Err != nil:
		return putResult{Path: i.Path, Error: report.NewJSONError(i.Err)}
	case c.DryRun:
		return dryPutResult{i.Path, i.Blob.Digest, i.Blob.Size, i.WouldSend}
	}
	return putResult{Path: i.Path, Blob: &i.Blob}
}
