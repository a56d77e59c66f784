package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/scrubber"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/providers/replicator"
)

// objectCheck has what `cas scrub` and `cas verify` share.
type objectCheck struct {
	wiring.LocalIndex
	settings.ObjectStore
	settings.Scrub
	settings.Providers
	settings.Sources

	Repair bool              `name:"repair" help:"Write damaged objects again: with the bytes of --repair-from, of the data folder if the store is a bucket, of the source of an imported file, or of a provider that returns them unchanged. All are verified first."`
	Rate   settings.ByteSize `name:"rate" default:"0" help:"Bytes to read per second. 0: no limit." placeholder:"SIZE"`
	JSON   bool              `name:"json" help:"Print a JSON object for each line."`
	Quiet  bool              `short:"q" help:"Print no progress, only results and errors."`
}

// scrubCmd checks stored objects.
type scrubCmd struct {
	objectCheck

	Quick       bool             `name:"quick" help:"Compare sizes, and the checksums that a bucket keeps, without a download. It does not find a byte that rotted on the store's disk."`
	OlderThan   time.Duration    `name:"older-than" default:"0" help:"Leave out blobs that were verified, or else stored, within this time, such as 720h. Suspect blobs are always checked." placeholder:"AGE"`
	Sample      settings.Percent `name:"sample" help:"Check a random share of the blobs only, such as 5%." placeholder:"N%"`
	Resume      bool             `name:"resume" help:"Continue the last scrub, if it was interrupted, with its own --quick, --older-than and --sample."`
	Concurrency int              `name:"concurrency" default:"2" help:"How many objects to read at the same time."`
	Status      bool             `name:"status" help:"Show the last scrub, the oldest verification and the suspect blobs, and check nothing."`
}

// Help returns the text that --help adds.
func (scrubCmd) Help() string {
	return `It reads every object again, the longest unverified first, and compares its digest. Gateways do the same in the background with CAS_SCRUB_EVERY, and share the work with this command.

Standard output has a line for each object that is not right: what is wrong ("damaged", "repaired", "healed" or "unread"), a tab, the digest, a tab, and the cause; the last line is a summary. A missing or damaged object makes its blob suspect; nothing is deleted. "healed" means that a suspect blob's object is right. "unread" proves nothing: the object could not be read, and the next scrub tries again.

An upload of the bytes repairs a damaged blob, too.

It does not read the copies in a local tier (CAS_CACHE_DIR): the gateway that has the tier compares them whenever it reads them whole, drops those that are damaged, and with CAS_SCRUB_EVERY repairs from them.

Exit codes: 0 if all is right; 3 if there is nothing to --resume; 5 if objects are damaged and not repaired; 6 if a server can't be reached, after which --resume continues; 7 if objects could not be read; 9 if another scrub by command is running; 11 if so much was missing that the store is more likely the wrong one, and nothing was marked.`
}

// Run checks objects, or shows the state.
func (c *scrubCmd) Run(ctx context.Context, std terminal.Streams) error {
	switch {
	case c.Concurrency < 1:
		return exit.Usagef("--concurrency must be at least 1")
	case c.Resume && (c.Quick || c.OlderThan > 0 || c.Sample > 0):
		return exit.Usagef("--resume continues a scrub as it began, so --quick, --older-than and --sample can't be given")
	case c.Quick && c.OlderThan > 0:
		return exit.Usagef("--quick verifies nothing, so --older-than can't be given")
	case c.Status && (c.Resume || c.Repair || c.Quick):
		return exit.Usagef("--status checks nothing; give it alone")
	}
	x, err := c.LocalIndex.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	if c.Status {
		return c.status(ctx, x, std.Out)
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	return c.scrub(ctx, x, shown)
}

// scrub checks what the flags say.
func (c *scrubCmd) scrub(ctx context.Context, x wiring.Index, shown *terminal.Progress) error {
	var counter terminal.Counter
	objects, closeAll, err := c.open(ctx, x, shown, scrubber.Options{
		Concurrency: c.Concurrency,
		Progress:    func(r scrubber.Run) { counter.Set(r.Blobs + r.Changed) },
	})
	if err != nil {
		return err
	}
	defer closeAll()
	counter = shown.Counting("checking", 0, func() string { s := objects.Stats(); return fmt.Sprintf("%d damaged", s.Damaged) })
	var run scrubber.Run
	if c.Resume {
		run, err = objects.Resume(ctx)
	} else {
		run, err = objects.Scrub(ctx, scrubber.Plan{Quick: c.Quick, OlderThan: c.OlderThan, Sample: float64(c.Sample)})
	}
	counter.Done()
	return c.report(run, err, shown.Stdout())
}

// open opens what checks objects. It prints each finding.
func (c *objectCheck) open(ctx context.Context, x wiring.Index, shown *terminal.Progress, o scrubber.Options) (s *scrubber.Scrubber, closeAll func(), err error) {
	var closers closers
	defer func() {
		if err != nil {
			closers.close()
		}
	}()
	objects, err := wiring.OpenExistingStore(c.ObjectStore, c.Data, zerolog.Nop())
	if err != nil {
		return nil, nil, err
	}
	closers.add(objects.Close)
	if err := objects.Check(ctx); err != nil {
		return nil, nil, err
	}
	if err := wiring.CheckStoreMark(ctx, x, objects); err != nil {
		return nil, nil, err
	}
	log := zerolog.New(shown.Stderr()).Level(zerolog.WarnLevel)
	if c.Repair {
		if o.Sources, err = c.openSources(x, objects, log, &closers); err != nil {
			return nil, nil, err
		}
	}
	records := wiring.StartJournal(x, log)
	closers.add(records.Close)
	notify := o.Notify
	o.Notify = func(r scrubber.Result) {
		if notify != nil || r.Outcome != scrubber.OutcomeRight && r.Outcome != scrubber.OutcomeChanged {
			records.RecordScrubbed(r)
		}
		if notify != nil {
			notify(r)
			return
		}
		if err := c.print(shown.Stdout(), r); err != nil {
			log.Error().Err(err).Msg("could not print a finding")
		}
	}
	o.Rate, o.Log, o.Lease, o.OnStep = int64(c.Rate), log, hooks.lease, hooks.onScrubStep
	s, err = wiring.OpenScrubber(c.Scrub, x, objects, o, prometheus.NewRegistry())
	return s, closers.close, err
}

// openSources opens the sources of repairs.
func (c *objectCheck) openSources(x wiring.Index, objects wiring.ObjectStore, log zerolog.Logger, closers *closers) ([]scrubber.Source, error) {
	store, err := cas.NewStore(objects, x, cas.Options{SpoolDir: os.TempDir(), HotBlobSize: -1, Log: log})
	if err != nil {
		return nil, err
	}
	closers.add(store.Close)
	copies, err := wiring.OpenCopies(c.Providers, replicator.Options{Blobs: store, Ledger: x, Log: log}, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	closers.add(copies.Close)
	origins, err := wiring.OpenSources(c.Sources)
	if err != nil {
		return nil, err
	}
	closers.add(origins.Close)
	sources, err := wiring.OpenRepairSources(c.Scrub, wiring.RepairParts{
		Objects: objects, Data: c.Data, Files: x, Origins: origins.List(), Copies: copies.Replicator,
	})
	if err != nil {
		return nil, err
	}
	closers.add(sources.Close)
	return sources.All, nil
}

// closers close what is open, the last first.
type closers []func()

func (c *closers) add(f func()) { *c = append(*c, f) }

func (c *closers) close() {
	for i := len(*c) - 1; i >= 0; i-- {
		(*c)[i]()
	}
}

// foundObject is the printed result for one object.
type foundObject struct {
	Outcome scrubber.Outcome `json:"outcome"`
	Digest  cas.Digest       `json:"digest"`
	Size    int64            `json:"size"`
	// Source names where a repair took the bytes from.
	Source string `json:"source,omitempty"`
	Error  string `json:"error,omitempty"`
	// RepairError says why a damaged object was not repaired.
	RepairError string `json:"repair_error,omitempty"`
}

// print prints the result for an object that is not simply right.
func (c *objectCheck) print(out io.Writer, r scrubber.Result) error {
	if r.Outcome == scrubber.OutcomeRight || r.Outcome == scrubber.OutcomeChanged {
		return nil
	}
	return c.printResult(out, r)
}

func (c *objectCheck) printResult(out io.Writer, r scrubber.Result) error {
	f := foundObject{Outcome: r.Outcome, Digest: r.Blob.Digest, Size: r.Blob.Size, Source: r.Source}
	if r.Err != nil {
		f.Error = r.Err.Error()
	}
	if r.RepairErr != nil {
		f.RepairError = r.RepairErr.Error()
	}
	if c.JSON {
		return terminal.PrintJSON(out, f)
	}
	cause := f.Error
	switch {
	case f.Source != "":
		cause = "from " + f.Source
	case f.RepairError != "":
		cause += "; not repaired: " + f.RepairError
	}
	_, err := fmt.Fprintf(out, "%s\t%s\t%s\n", f.Outcome, f.Digest, terminal.Printable(cause))
	return err
}

// report prints the result of a scrub, and gives its error an exit code.
func (c *scrubCmd) report(run scrubber.Run, err error, out io.Writer) error {
	if errors.Is(err, scrubber.ErrRunning) || errors.Is(err, scrubber.ErrNothingToResume) {
		return wiring.ScrubError(err)
	}
	var printErr error
	if c.JSON {
		printErr = terminal.PrintJSON(out, run)
	} else {
		_, printErr = fmt.Fprintln(out, scrubLine(run))
	}
	left := run.Damaged - run.Repaired
	switch {
	case err != nil && run.ID != "":
		return errors.Join(fmt.Errorf("%w; `cas scrub --resume` continues", wiring.ScrubError(err)), printErr)
	case err != nil || printErr != nil:
		return errors.Join(err, printErr)
	case left > 0 && c.Repair:
		return exit.With(exit.Corrupt, fmt.Errorf("%d objects are missing or damaged, and no source has their bytes; upload their blobs again. A gateway with a local tier may have them: it repairs from its tier with CAS_SCRUB_EVERY", left))
	case left > 0:
		return exit.With(exit.Corrupt, fmt.Errorf("%d objects are missing or damaged; upload their blobs again, or use --repair", left))
	case run.Unread > 0:
		return exit.With(exit.Partly, fmt.Errorf("%d objects could not be read, and the next scrub tries again", run.Unread))
	}
	return nil
}

// scrubLine describes a scrub.
func scrubLine(run scrubber.Run) string {
	line := fmt.Sprintf("%d blobs checked (%s read), %d damaged", run.Blobs, terminal.Size(run.Bytes), run.Damaged)
	for _, part := range []struct {
		n    int64
		name string
	}{{run.Repaired, "repaired"}, {run.Healed, "healed"}, {run.Unread, "unread"}, {run.Changed, "changed meanwhile"}} {
		if part.n > 0 {
			line += fmt.Sprintf(", %d %s", part.n, part.name)
		}
	}
	if !run.EndedAt.IsZero() && run.Blobs > 0 {
		line += fmt.Sprintf(" in %s", run.EndedAt.Sub(run.StartedAt).Round(time.Millisecond))
	}
	return line
}

// scrubStatus is the printed result of --status.
type scrubStatus struct {
	Running bool          `json:"running"`
	Last    *scrubber.Run `json:"last,omitempty"`
	scrubber.State
	Damaged []cas.Digest `json:"suspect_digests"`
}

// status shows the last scrub, and the suspect blobs.
func (c *scrubCmd) status(ctx context.Context, x wiring.Index, out io.Writer) error {
	run, running, err := x.LastScrub(ctx)
	if err != nil {
		return err
	}
	state, err := x.ScrubState(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		status := scrubStatus{Running: running, State: state, Damaged: []cas.Digest{}}
		if run.ID != "" {
			status.Last = &run
		}
		for _, b := range state.Damaged {
			status.Damaged = append(status.Damaged, b.Digest)
		}
		return terminal.PrintJSON(out, status)
	}
	if run.ID == "" {
		fmt.Fprintln(out, "there was no scrub by command yet")
	} else {
		fmt.Fprintf(out, "started %s, %s: %s\n", terminal.Time(run.StartedAt, ""), scrubPhase(run, running), scrubLine(run))
	}
	if run.Error != "" {
		fmt.Fprintln(out, "it stopped:", terminal.Printable(run.Error))
	}
	_, err = fmt.Fprintf(out, "%d blobs, %d suspect, %d being checked; the oldest verification: %s\n",
		state.Blobs, state.Suspect, state.Claimed, terminal.Time(state.Oldest, "none"))
	for _, b := range state.Damaged {
		if err == nil {
			_, err = fmt.Fprintf(out, "suspect\t%s\t%s\n", b.Digest, terminal.Size(b.Size))
		}
	}
	return err
}

// scrubPhase says how far a scrub is.
func scrubPhase(run scrubber.Run, running bool) string {
	switch {
	case running:
		return "running"
	case run.EndedAt.IsZero():
		return "its process died; --resume continues"
	case !run.Complete:
		return "interrupted " + terminal.Time(run.EndedAt, "") + "; --resume continues"
	}
	return "ended " + terminal.Time(run.EndedAt, "")
}
