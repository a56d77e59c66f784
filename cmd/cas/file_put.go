package main

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// filePutCmd stores files under names.
type filePutCmd struct {
	settings.Client

	Paths     []string      `arg:"" name:"path" help:"Files, folders with -r, or - for standard input."`
	Recursive bool          `short:"r" help:"Store the files in folders, too. Symbolic links in them are not followed."`
	Exclude   []string      `sep:"none" placeholder:"PATTERN" help:"With -r: leave out files and folders of this name, or of this path below the folder, such as *.tmp or cache/*; may be repeated."`
	Purpose   string        `default:"user_data" placeholder:"PURPOSE" help:"What the files are for, such as user_data, file-extract or batch."`
	Name      string        `placeholder:"NAME" help:"The file's name; the local file's own if empty. For one file only."`
	MediaType string        `placeholder:"TYPE" help:"Media type, such as text/markdown; the gateway detects it if empty."`
	Context   string        `placeholder:"TEXT" help:"Group of the files, such as a conversation or a project."`
	Tags      []string      `name:"tag" placeholder:"TAG" help:"Labels; repeat, or separate by commas."`
	Metadata  string        `placeholder:"JSON" help:"A JSON object to keep with the files."`
	Expires   time.Duration `placeholder:"DURATION" help:"Time after which the files are deleted, such as 720h; never if not given."`
	OnExpiry  string        `enum:",everywhere" default:"" placeholder:"everywhere" help:"everywhere: when a file expires, delete its bytes with it, at all providers too, unless other files refer to them."`
	Unique    bool          `help:"Fail if another file has the same bytes already."`
	Providers []string      `name:"provider" aliases:"providers" placeholder:"PROVIDER" help:"Providers to make copies at, in the background, such as kimi,glm."`
	Key       string        `name:"idempotency-key" placeholder:"TEXT" help:"Makes repetitions of this command one file, for a day. For one file only."`
	Parallel  int           `default:"4" help:"How many files to send at once."`
	JSON      bool          `name:"json" help:"Print a JSON object for each file."`
	Verbose   bool          `short:"v" help:"Print a line for each of many files, in place of one bar and a summary."`
	Quiet     bool          `short:"q" help:"Print no progress and no notes, only results and errors."`
}

// Help returns the text that --help adds.
func (filePutCmd) Help() string {
	return `Standard output has a line for each file, in the order of the arguments: its id alone where one file was asked for, and the id, a tab and the path where there may be several (more than one PATH, or -r).

With --json it has an object for each: "path", and either the file as the gateway has it or an "error" ("message", and "code" and "operation_id" where the gateway answered it). Of folders without files it has the one object {"files":0}.

The same bytes are kept once, under any number of names. Bytes that the gateway has are not sent again. A file that fails doesn't stop the others, unless the gateway has no room (507); if some failed, the exit code is 7. An interrupted upload leaves nothing behind.`
}

// filePut is one file to store, and its result.
type filePut struct {
	*transfer.Item
	// Once made is closed the file is set, or the item's err.
	made chan struct{}
	file api.File
	sent bool // the bytes were sent; otherwise the gateway had them
}

// Run stores the files.
func (c *filePutCmd) Run(ctx context.Context, std terminal.Streams) error {
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
	var puts []*filePut
	for _, item := range transfer.Find(c.Paths, shown, transfer.FindOptions{Recursive: c.Recursive, Exclude: c.Exclude}) {
		puts = append(puts, &filePut{Item: item, made: make(chan struct{})})
	}
	return storeAndPrint(
		func() error { return c.store(ctx, gateway, shown, puts) },
		func() error { return c.print(ctx, puts, shown) },
	)
}

// check refuses flags that contradict each other.
func (c *filePutCmd) check() error {
	var err error
	if c.Providers, err = argument.Providers(c.Providers); err != nil {
		return err
	}
	if err := transfer.CheckUpload(transfer.UploadFlags{Paths: c.Paths, Recursive: c.Recursive, Exclude: c.Exclude, Name: c.Name, Parallel: c.Parallel}); err != nil {
		return err
	}
	switch {
	case c.Key != "" && (len(c.Paths) > 1 || c.Recursive):
		return exit.Usagef("--idempotency-key is for one file only")
	case c.Name == "" && slices.Contains(c.Paths, argument.StdinPath):
		return exit.Usagef("standard input has no name; give one with --name")
	case c.Expires != 0 && (c.Expires < cas.MinFileLife || c.Expires > cas.MaxFileLife):
		return exit.Usagef("--expires must be between %v and %v", cas.MinFileLife, cas.MaxFileLife)
	case c.Metadata != "" && !json.Valid([]byte(c.Metadata)):
		return exit.Usagef(`--metadata is not JSON, such as {"key":"value"}`)
	}
	return nil
}

// store stores the files, several at a time. It returns an error only if it had to stop
// early; the remaining files then fail with it.
func (c *filePutCmd) store(ctx context.Context, gateway *client.Client, shown *terminal.Progress, puts []*filePut) error {
	var group errgroup.Group
	var fatal atomic.Pointer[error] // after it no other file begins
	group.SetLimit(c.Parallel)
	for _, put := range puts {
		group.Go(func() error {
			defer close(put.made)
			if put.Err != nil {
				return nil
			}
			if stop := fatal.Load(); stop != nil {
				put.Err, put.Stopped = transfer.Undone(*stop), true
				return nil
			}
			err := context.Cause(ctx)
			if ctx.Err() == nil {
				err = c.send(ctx, gateway, shown, put)
			}
			put.Err, put.Stopped = transfer.WithoutPath(err), transfer.Stops(ctx, err, len(puts))
			if put.Stopped {
				fatal.CompareAndSwap(nil, &err)
				return err
			}
			return nil
		})
	}
	err := group.Wait()
	items := make([]*transfer.Item, 0, len(puts))
	for _, put := range puts {
		items = append(items, put.Item)
	}
	return transfer.Stopped(err, items)
}

// send stores one file. The gateway is sent no bytes that it has, unless they can be read
// only once.
func (c *filePutCmd) send(ctx context.Context, gateway *client.Client, shown *terminal.Progress, put *filePut) error {
	describe := client.NewFile{
		Name: c.Name, Purpose: c.Purpose, MediaType: c.MediaType, Context: c.Context, Tags: c.Tags,
		Metadata: json.RawMessage(c.Metadata), Life: c.Expires, OnExpiry: c.OnExpiry, Unique: c.Unique, Providers: c.Providers,
		IdempotencyKey: c.Key,
	}
	if describe.Name == "" {
		describe.Name = filepath.Base(put.Path)
	}
	var err error
	if put.Streamed {
		put.file, err = c.stream(ctx, gateway, shown, put, describe)
		put.sent = true
		return err
	}
	open := &transfer.Uploader{Gateway: gateway, Shown: shown}
	source, err := client.NewSource(func() (io.ReadCloser, error) { return open.Open(ctx, put.Path, "reading") })
	if err != nil {
		return err
	}
	source.Open = func() (io.ReadCloser, error) { return open.Open(ctx, put.Path, "sending") }
	put.file, put.sent, err = gateway.PutFile(ctx, source, describe)
	return err
}

// stream stores what can be read only once: standard input, or a pipe.
func (c *filePutCmd) stream(ctx context.Context, gateway *client.Client, shown *terminal.Progress, put *filePut, describe client.NewFile) (api.File, error) {
	src, err := (&transfer.Uploader{Shown: shown}).OpenStream(ctx, put.Path)
	if err != nil {
		return api.File{}, err
	}
	defer src.Close()
	return gateway.CreateFile(ctx, src, describe)
}

// filePutResult is a line of JSON output.
type filePutResult struct {
	Path string `json:"path"`
	*api.File
	Error *report.JSONError `json:"error,omitempty"`
}

// print prints the result of each file, in their order, as soon as it is known.
func (c *filePutCmd) print(ctx context.Context, puts []*filePut, shown *terminal.Progress) error {
	out := putOutput{shown: shown, json: c.JSON, withPaths: len(c.Paths) > 1 || c.Recursive, advise: report.AdviseFile}
	out.sumsUp = !c.Verbose && len(puts) > maxShown && terminal.IsTerminal(shown.Streams().Out)
	if len(puts) == 0 {
		return out.nothing()
	}
	many := transfer.NewMany(transfer.ManyOptions{Shown: shown, Verb: "storing", Noun: "files", Total: len(puts)})
	defer many.End()
	for _, put := range puts {
		<-put.made
		if err := out.print(putOutcome{item: put.Item, text: put.file.ID, object: newFilePutResult(put), asked: put.file.Asked}); err != nil {
			return err
		}
		result := transfer.ResultStored
		if !put.sent {
			result = transfer.ResultAlreadyThere
		}
		if !put.Stopped {
			many.Finished(result, put.file.Bytes, put.Err)
		}
		if put.Err == nil && (many == nil || c.Verbose) {
			shown.Note("%-13s  %9s  %s", result, terminal.Size(put.file.Bytes), terminal.Printable(put.Path))
		}
	}
	return out.files.Err(ctx)
}

func newFilePutResult(p *filePut) filePutResult {
	if p.Err != nil {
		return filePutResult{Path: p.Path, Error: report.NewJSONError(p.Err)}
	}
	return filePutResult{Path: p.Path, File: &p.file}
}
