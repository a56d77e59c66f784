package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	"casgate/providers/ledger"
)

// syncCmd makes sure of copies at providers.
type syncCmd struct {
	settings.Client

	Blobs    []argument.Content `arg:"" name:"blob|file" help:"Digests, hash URLs of this gateway, ids of files, local files (stored first, as by put), or - for standard input."`
	To       []string           `name:"provider" aliases:"to" required:"" placeholder:"PROVIDER" help:"Providers to have copies at, such as kimi,glm."`
	Purpose  string             `placeholder:"PURPOSE" help:"Purpose of the file at the provider, as cas providers NAME lists; the usual one for the blob if empty."`
	Name     string             `placeholder:"NAME" help:"Name of the file at the provider, whose extension says how it is read; the file's or the blob's own if empty. For one blob only."`
	Retry    bool               `help:"Try copies again that have failed permanently."`
	Wait     argument.Wait      `negatable:"" help:"Wait until the copies are ready (the default). --wait=DURATION waits at most that long for each copy; --no-wait prints the running operations instead."`
	Parallel int                `default:"4" help:"How many files or copies to work on at once."`
	JSON     bool               `name:"json" help:"Print a JSON object for each blob and provider."`
	Quiet    bool               `short:"q" help:"Print no progress and no notes, only results and errors."`
}

// Help returns the text that --help adds.
func (syncCmd) Help() string {
	return `A copy that exists is not made again.

Standard output has a line for each blob and provider, in the order of the arguments: the provider, a tab, and the file's id there. With --no-wait it has the provider, the copy's state, and the operation's id. Where more than one blob is given, a tab and the argument follow.

With --json it has an object for each: "path" of a local file or "file" with an id, "digest", "provider", and the "copy", or an "error" ("message", and "code" and "operation_id" where the gateway answered it).

If you stop waiting, the gateway continues the work.`
}

// syncJob is one copy to make, and its result.
type syncJob struct {
	item     *transfer.Item // the blob
	provider string

	// Once done is closed the copy or err is set; both where the copy isn't ready.
	done    chan struct{}
	copy    api.Copy
	err     error
	stopped bool // it failed only because everything did
}

func (j *syncJob) finish(made api.Copy, err error) {
	j.copy, j.err = made, err
	close(j.done)
}

// Run makes sure of the copies.
func (c *syncCmd) Run(ctx context.Context, std terminal.Streams) error {
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
	var items []*transfer.Item
	for _, s := range c.Blobs {
		item, err := transfer.NewItem(ctx, gateway, s, c.Name)
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	if err := transfer.CheckProviders(ctx, gateway, items, c.To); err != nil {
		return report.AdviseCopy(err)
	}
	s := &syncer{syncCmd: c, gateway: gateway, shown: shown}
	return s.run(ctx, items)
}

// check refuses flags that contradict each other.
func (c *syncCmd) check() error {
	var paths []string
	for _, s := range c.Blobs {
		paths = append(paths, s.Path)
	}
	var err error
	c.To, err = argument.SomeProviders(c.To)
	switch {
	case err != nil:
		return err
	case c.Parallel < 1:
		return exit.Usagef("--parallel must be at least 1")
	case c.Name != "" && len(c.Blobs) > 1:
		return exit.Usagef("--name is for one blob only")
	}
	return argument.CheckStdin(paths)
}

// syncer is one run of syncCmd.
type syncer struct {
	*syncCmd
	gateway *client.Client
	shown   *terminal.Progress
	asked   atomic.Bool // for a copy
}

// run stores the files and makes the copies at the same time, and prints the results.
func (s *syncer) run(ctx context.Context, items []*transfer.Item) error {
	var jobs []*syncJob
	for _, item := range items {
		for _, provider := range s.To {
			jobs = append(jobs, &syncJob{item: item, provider: provider, done: make(chan struct{})})
		}
	}
	u := &transfer.Uploader{Gateway: s.gateway, Parallel: s.Parallel, Shown: s.shown}
	stored, made := make(chan error, 1), make(chan error, 1)
	go func() { stored <- u.Store(ctx, items) }()
	go func() { made <- s.make(ctx, jobs) }()
	printErr := s.print(ctx, jobs)
	err := cmp.Or(<-stored, <-made)
	switch {
	case err == nil:
		return printErr
	case ctx.Err() != nil && s.asked.Load():
		return exit.With(exit.Interrupted, errors.New("stopped waiting; the gateway continues the copies that it was asked for, and `cas copies` shows their state"))
	}
	return report.Advise(err)
}

// make makes the copies. It returns an error only if it had to stop early; the remaining
// jobs then fail with it.
func (s *syncer) make(ctx context.Context, jobs []*syncJob) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.Parallel)
	for _, j := range jobs {
		group.Go(func() error {
			made, err := s.ensure(ctx, j)
			fatal := report.StopsAll(ctx, err)
			j.stopped = fatal || j.item.Stopped
			j.finish(made, err)
			if fatal {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}

// stateLimit bounds a request for the state of a copy, since a gateway may hang.
const stateLimit = 30 * time.Second

// ensure makes sure of one copy, after its blob is stored.
func (s *syncer) ensure(ctx context.Context, j *syncJob) (api.Copy, error) {
	<-j.item.Done
	if j.item.Err != nil {
		return api.Copy{}, j.item.Err
	}
	if ctx.Err() != nil {
		return api.Copy{}, context.Cause(ctx)
	}
	s.asked.Store(true)
	defer s.shown.Waiting("copying", j.item.Path+" → "+j.provider)()
	of, o := j.item.Owner(s.gateway), client.EnsureOptions{
		CopyOptions: client.CopyOptions{Purpose: s.Purpose, Name: j.item.Options.Name},
		Retry:       s.Retry, Async: s.Wait.Not,
	}
	limited, cancel := s.Wait.Context(ctx)
	defer cancel()
	made, err := of.EnsureCopy(limited, j.provider, o)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		// It took too long. This asks for the state, which is a matter of milliseconds.
		asking, cancel := context.WithTimeout(ctx, stateLimit)
		defer cancel()
		o.Async, o.Retry = true, false
		made, err = of.EnsureCopy(asking, j.provider, o)
	}
	if err == nil && !s.Wait.Not {
		err = report.NotReady(made)
	}
	return made, err
}

// syncResult is a line of JSON output.
type syncResult struct {
	Path     string            `json:"path,omitempty"`
	File     string            `json:"file,omitempty"`
	Digest   *cas.Digest       `json:"digest,omitempty"` // of a blob that is stored
	Provider string            `json:"provider"`
	Copy     *api.Copy         `json:"copy,omitempty"`
	Error    *report.JSONError `json:"error,omitempty"`
}

func (j *syncJob) result(file bool) syncResult {
	r := syncResult{File: j.item.File, Provider: j.provider, Error: report.NewJSONError(j.err)}
	if file {
		r.Path = j.item.Path
	}
	if j.item.Err == nil && j.item.File == "" {
		r.Digest = &j.item.Blob.Digest
	}
	if j.copy.Provider != "" {
		r.Copy, r.Digest = &j.copy, &j.copy.Digest
	}
	return r
}

// print prints the result of each copy, in their order, as soon as it is known.
func (s *syncer) print(ctx context.Context, jobs []*syncJob) error {
	var results report.Tally
	simulated := map[string]bool{}
	for i, j := range jobs {
		<-j.done
		results.Add(j.err)
		if j.copy.Simulated {
			simulated[j.provider] = true
		}
		given := s.Blobs[i/len(s.To)]
		var err error
		switch {
		case s.JSON:
			err = terminal.PrintJSON(s.shown.Stdout(), j.result(given.Path != ""))
		case j.err == nil:
			err = s.printLine(j)
		}
		if err != nil {
			return err
		}
		switch {
		case j.err == nil:
			s.note(j)
		case j.stopped:
		case j.item.Err == nil:
			terminal.PrintError(s.shown.Stderr(), j.item.Path+" → "+j.provider, report.AdviseCopy(j.err))
		case i%len(s.To) == 0: // a file that failed did so for all providers
			terminal.PrintError(s.shown.Stderr(), j.item.Path, j.err)
		}
	}
	report.Simulated(s.shown, slices.Sorted(maps.Keys(simulated)))
	return results.Err(ctx)
}

func (s *syncer) printLine(j *syncJob) error {
	cells := []string{j.provider, terminal.Printable(j.copy.ProviderFileID)}
	if s.Wait.Not {
		cells = []string{j.provider, j.copy.State, j.copy.OperationID}
	}
	if len(s.Blobs) > 1 {
		cells = append(cells, terminal.Printable(j.item.Path))
	}
	_, err := fmt.Fprintln(s.shown.Stdout(), strings.Join(cells, "\t"))
	return err
}

func (s *syncer) note(j *syncJob) {
	what := j.copy.State
	if what == string(ledger.StateReady) {
		what = "copied"
		if j.copy.Created == nil || !*j.copy.Created {
			what = "ready"
		}
	}
	s.shown.Note("%-13s  %9s  %s → %s (%s)", what, terminal.SizeAt(j.copy.Size, j.copy.CreatedAt), terminal.Printable(j.item.Path), j.provider, j.copy.Purpose)
}
