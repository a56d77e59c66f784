package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/providers/ledger"
)

// defaultConcurrency is how many objects are looked at together.
const defaultConcurrency = 8

// ErrOtherStore: the object store has none of the export's first blobs.
var ErrOtherStore = errors.New("the object store has none of the first blobs of the export")

// Objects is what the way back needs of an object store.
type Objects interface {
	// Stat is described at cas.ObjectStore.
	Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error)
}

// Problem is a row that was not restored as it is in the export.
type Problem struct {
	Kind   string `json:"kind"` // blob, file, copy or text
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Err    error  `json:"-"`
}

// Tally counts the outcomes of one kind of rows.
type Tally struct {
	Restored int64 `json:"restored"`
	Kept     int64 `json:"kept"`    // there already
	Differs  int64 `json:"differs"` // another row is in the place, and stays
	// Completed rows were there already, and got a name or a media type. Only blobs have them.
	Completed int64 `json:"completed,omitempty"`
}

// Total returns the number of rows.
func (t Tally) Total() int64 { return t.Restored + t.Kept + t.Differs + t.Completed }

// Result is the state of the way back.
type Result struct {
	Blobs  Tally `json:"blobs"`
	Files  Tally `json:"files"`
	Copies Tally `json:"copies"`
	Texts  Tally `json:"texts"`
	// Missing counts the blobs whose object is missing or wrong, and of which no other
	// object was found. They are suspect: the next upload brings their bytes.
	Missing int64 `json:"missing"`
	// Deleted counts the blobs that were deleted at the time of the export, whose bytes the collector had
	// not removed, and that can't be read now. Their grace period begins when their row is restored: an
	// upload since the export may have brought them back, and then has to be repeated.
	Deleted int64 `json:"deleted"`
}

// RestoreOptions configures the way back.
type RestoreOptions struct {
	Export      *Export
	Index       Target
	Objects     Objects
	Concurrency int // 0 means 8
	// AnyStore continues also if the store has none of the export's first blobs.
	AnyStore bool
	Report   func(Problem) // called with each problem
	Progress func(Result)  // called after each page; optional
}

// Restore reads an export back into an index. It may be repeated, also after it was
// interrupted, and run while gateways serve: a row that exists stays as it is, except for a
// name and a media type that it lacks. It calls
// between after the rows of blobs and before all others, so that more blobs can be found
// in the object store.
func Restore(ctx context.Context, o RestoreOptions, between func() error) (Result, error) {
	o.Concurrency = cmp.Or(o.Concurrency, defaultConcurrency)
	if o.Progress == nil {
		o.Progress = func(Result) {}
	}
	r := restoring{o: o, began: time.Now().UTC().Truncate(time.Microsecond)}
	err := r.pass(ctx, r.blobs)
	if err == nil {
		err = between()
	}
	if err == nil {
		err = r.leaveOutFound(ctx)
	}
	r.reportMissing() // also after an error: a repetition finds the rows there, and reports none
	if err == nil {
		err = r.pass(ctx, r.others)
	}
	return r.result, err
}

type restoring struct {
	o      RestoreOptions
	began  time.Time
	result Result
	seen   bool // an object of the export is in the store
	// missing are the restored blobs whose object is missing or wrong.
	missing []missingBlob
}

type missingBlob struct {
	digest cas.Digest
	err    error
}

// page is a number of rows to restore.
type page struct {
	blobs  []Blob
	files  []cas.File
	copies []ledger.Copy
	texts  []Text
}

func (p *page) len() int { return len(p.blobs) + len(p.files) + len(p.copies) + len(p.texts) }

func (p *page) add(l line) {
	switch {
	case l.Blob != nil:
		p.blobs = append(p.blobs, l.Blob.row())
	case l.File != nil:
		p.files = append(p.files, cas.File(*l.File))
	case l.Copy != nil:
		p.copies = append(p.copies, ledger.Copy(*l.Copy))
	case l.Text != nil:
		p.texts = append(p.texts, Text(*l.Text))
	}
}

// pass reads the whole export, and restores it page by page.
func (r *restoring) pass(ctx context.Context, restore func(context.Context, page) error) error {
	var p page
	for l, err := range r.o.Export.lines() {
		if err != nil {
			return err
		}
		if p.add(l); p.len() == pageSize {
			if err := restore(ctx, p); err != nil {
				return err
			}
			r.o.Progress(r.result)
			p = page{}
		}
	}
	if err := restore(ctx, p); err != nil {
		return err
	}
	r.o.Progress(r.result)
	return nil
}

// blobs restores the rows of blobs in a page.
func (r *restoring) blobs(ctx context.Context, p page) error {
	if len(p.blobs) == 0 {
		return nil
	}
	missing, err := r.look(ctx, p.blobs)
	if err != nil {
		return err
	}
	for i := range p.blobs {
		if b := &p.blobs[i]; b.State == cas.StateCondemned {
			b.CondemnedAt = r.began
		}
	}
	outcomes, err := r.o.Index.RestoreBlobs(ctx, p.blobs)
	if err != nil {
		return err
	}
	var condemned []cas.Digest
	for i, b := range p.blobs {
		r.tally(&r.result.Blobs, outcomes[i], "blob", b.Digest.String())
		if b.State == cas.StateCondemned {
			condemned = append(condemned, b.Digest)
		}
		if missing[i] != nil && outcomes[i] == Restored {
			r.missing = append(r.missing, missingBlob{b.Digest, missing[i]})
		}
	}
	deleted, err := r.o.Index.Missing(ctx, condemned)
	r.result.Deleted += int64(len(deleted))
	return err
}

// leaveOutFound leaves those of the missing blobs out that can be read by now. After the export
// a blob may have been collected and uploaded again: its object has a higher generation than the
// export says, and was found in the store.
func (r *restoring) leaveOutFound(ctx context.Context) error {
	var left []missingBlob
	for part := range slices.Chunk(r.missing, pageSize) {
		digests := make([]cas.Digest, len(part))
		for i, b := range part {
			digests[i] = b.digest
		}
		missing, err := r.o.Index.Missing(ctx, digests)
		if err != nil {
			return err
		}
		for _, b := range part { // both are in the same order
			if len(missing) > 0 && missing[0] == b.digest {
				left, missing = append(left, b), missing[1:]
			}
		}
	}
	r.missing = left
	return nil
}

// reportMissing reports and counts the missing blobs.
func (r *restoring) reportMissing() {
	r.result.Missing = int64(len(r.missing))
	for _, b := range r.missing {
		r.report("blob", b.digest.String(), b.err)
	}
}

// look makes the rows suspect whose objects are missing or wrong, and returns why, for
// each row. It returns ErrOtherStore if no object of the export was seen so far.
func (r *restoring) look(ctx context.Context, blobs []Blob) ([]error, error) {
	problems := make([]error, len(blobs))
	var readable, missing int
	workers, call := errgroup.WithContext(ctx)
	workers.SetLimit(r.o.Concurrency)
	for i, b := range blobs {
		if !b.State.Visible() {
			continue
		}
		readable++
		workers.Go(func() error {
			stat, err := r.o.Objects.Stat(call, b.Object())
			if err == nil && (stat.Size != b.Size || !stat.Digest.IsZero() && stat.Digest != b.Digest) {
				err = fmt.Errorf("%w: it has %d bytes and checksum %s; want %d bytes", cas.ErrObjectCorrupt, stat.Size, stat.Digest, b.Size)
			}
			if errors.Is(err, cas.ErrObjectMissing) || errors.Is(err, cas.ErrObjectCorrupt) {
				problems[i], err = err, nil
			}
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	for i, problem := range problems {
		if problem != nil {
			blobs[i].State = cas.StateSuspect
			if errors.Is(problem, cas.ErrObjectMissing) {
				missing++
			}
		}
	}
	if r.seen = r.seen || missing < readable; !r.seen && readable > 0 && !r.o.AnyStore {
		return nil, ErrOtherStore
	}
	return problems, nil
}

// others restores all other rows of a page.
func (r *restoring) others(ctx context.Context, p page) error {
	files := rowKind[cas.File]{"file", &r.result.Files, r.o.Index.RestoreFiles, func(f cas.File) string { return f.ID }}
	if err := files.restore(ctx, r, p.files); err != nil {
		return err
	}
	copies := rowKind[ledger.Copy]{"copy", &r.result.Copies, r.o.Index.RestoreCopies, func(c ledger.Copy) string { return c.Key.String() }}
	if err := copies.restore(ctx, r, p.copies); err != nil {
		return err
	}
	texts := rowKind[Text]{"text", &r.result.Texts, r.o.Index.RestoreTexts, func(t Text) string { return t.Digest.String() + " at " + t.Provider }}
	return texts.restore(ctx, r, p.texts)
}

// rowKind says how rows of a kind are restored, counted and named.
type rowKind[R any] struct {
	name   string
	tally  *Tally
	store  func(context.Context, []R) ([]Outcome, error)
	nameOf func(R) string
}

func (k rowKind[R]) restore(ctx context.Context, r *restoring, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	outcomes, err := k.store(ctx, rows)
	if err != nil {
		return err
	}
	for i, row := range rows {
		r.tally(k.tally, outcomes[i], k.name, k.nameOf(row))
	}
	return nil
}

var errDiffers = errors.New("the index has another row in its place, which stays")

func (r *restoring) tally(t *Tally, outcome Outcome, kind, name string) {
	switch outcome {
	case Restored:
		t.Restored++
	case Kept:
		t.Kept++
	case Completed:
		t.Completed++
	case Differs:
		t.Differs++
		r.report(kind, name, errDiffers)
	}
}

func (r *restoring) report(kind, name string, err error) {
	r.o.Report(Problem{Kind: kind, Name: name, Reason: err.Error(), Err: err})
}
