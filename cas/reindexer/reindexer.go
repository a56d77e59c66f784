// Package reindexer makes rows for objects that no row names. So an index that was lost
// is made again from the object store alone. Names, media types and files are not in the
// object store; package index/export keeps them.
//
// Every step may be repeated: the rows themselves are the progress, so a run that was
// interrupted continues where it ended. It may run while gateways serve. A row that
// exists always wins, whatever its state, so a deleted blob never comes back while its
// row is known.
package reindexer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
)

// DefaultConcurrency is how many objects are verified at the same time.
const DefaultConcurrency = 8

// batchSize is the number of objects whose rows are looked up together.
const batchSize = 250

// Objects is what a run needs of an object store.
type Objects interface {
	// List returns all objects. Those of one blob follow each other.
	List(ctx context.Context) iter.Seq2[cas.ObjectInfo, error]
	// Stat and Open are described at cas.ObjectStore.
	Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error)
	Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error)
}

// Index is what a run needs of an index. Index drivers implement it; index/indextest is
// their conformance kit. Each method is atomic. Errors of the database wrap
// cas.ErrIndexUnavailable. After such an error a write may or may not have been applied.
type Index interface {
	// Adoptable returns the objects that AdoptBlobs would adopt now, in the order of refs.
	Adoptable(ctx context.Context, refs []cas.ObjectRef) ([]cas.ObjectRef, error)
	// AdoptBlobs makes a live row for each blob that has none. It also makes a row live
	// whose state is suspect or gone and whose generation is lower than the blob's. Any
	// other row stays as it is. A new row has the blob's creation time, and counts as
	// touched now. It returns the adopted objects. No two blobs have the same digest.
	AdoptBlobs(ctx context.Context, blobs []cas.Blob) ([]cas.ObjectRef, error)
	// Stale returns the objects of a lower generation than that of their blob's live row,
	// and those of a blob that is gone, if no commit can make them readable any more. It
	// keeps the order of refs.
	Stale(ctx context.Context, refs []cas.ObjectRef) ([]StaleObject, error)
	// RestoreMark makes a mark the installation's, if the index has no blobs, files and
	// copies yet. It returns the installation's mark afterwards.
	RestoreMark(ctx context.Context, mark string) (string, error)
}

// StaleObject is an object that nothing refers to.
type StaleObject struct {
	cas.ObjectRef
	// Live is the generation of the blob's live row; -1 if the blob is gone.
	Live int32
}

// Problem is an object that was not adopted.
type Problem struct {
	Object cas.ObjectRef
	Size   int64 // bytes, by the listing
	Err    error
}

// Counts is the state of a run.
type Counts struct {
	Objects int64 `json:"objects"` // objects in the listing
	Known   int64 `json:"known"`   // objects with a row, or of an old generation
	Adopted int64 `json:"adopted"` // objects that got a row, or would get one
	Bytes   int64 `json:"bytes"`   // of adopted objects
	Hashed  int64 `json:"hashed"`  // objects that were read, since the store keeps no checksum of them
	Wrong   int64 `json:"wrong"`   // objects that were reported, and not adopted
	Gone    int64 `json:"gone"`    // objects that were removed after they were listed
	// Removed counts the objects of old generations that Options.Remove has removed.
	Removed int64 `json:"removed,omitempty"`
}

// Options configures a run.
type Options struct {
	Objects     Objects
	Index       Index
	Concurrency int // 0 means DefaultConcurrency
	// DryRun verifies the objects, and writes nothing.
	DryRun bool
	// MinAge is how old an object must be, by the store's clock. Younger ones count as
	// known.
	MinAge time.Duration
	// Skip, if set, reports whether an object counts as known without a look.
	Skip func(cas.ObjectRef) bool
	// Remove, if set, removes an object of an old generation. It is called for those of
	// blobs that are gone, and of live ones whose own object is in the listing.
	Remove func(context.Context, cas.ObjectRef) error
	// Report is called with each problem, from several goroutines.
	Report func(Problem)
	// Progress is called with the state after each batch. Optional.
	Progress func(Counts)
	// OnAdopt is for tests: it is called before each batch is written. Optional.
	OnAdopt func([]cas.Blob)
}

// Run adopts all objects without a row whose key, size and checksum agree. The checksum
// is the one that the store keeps; without one, Run reads the object. It returns the
// state at its end. Errors are those of the index and the store; one wrong object is no
// error.
func Run(ctx context.Context, o Options) (Counts, error) {
	o.Concurrency = cmp.Or(o.Concurrency, DefaultConcurrency)
	if o.Progress == nil {
		o.Progress = func(Counts) {}
	}
	if o.OnAdopt == nil {
		o.OnAdopt = func([]cas.Blob) {}
	}
	r := run{o: o, before: time.Now().Add(-o.MinAge)}
	var batch []cas.ObjectInfo
	for object, err := range o.Objects.List(ctx) {
		if err != nil {
			return r.counts, err
		}
		// A batch never ends within the objects of one blob.
		if len(batch) >= batchSize && batch[len(batch)-1].Digest != object.Digest {
			if err := r.take(ctx, batch); err != nil {
				return r.counts, err
			}
			batch = batch[:0]
		}
		batch = append(batch, object)
	}
	err := r.take(ctx, batch)
	return r.counts, err
}

type run struct {
	o      Options
	before time.Time // objects that are not older count as known, if there is a least age
	mu     sync.Mutex
	counts Counts
}

// count changes the counts.
func (r *run) count(change func(c *Counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.counts)
}

// take adopts the objects of a batch that no row names.
func (r *run) take(ctx context.Context, batch []cas.ObjectInfo) error {
	if len(batch) == 0 {
		return nil
	}
	blobs, err := r.candidates(ctx, batch)
	if err != nil {
		return err
	}
	found, err := r.verifyAll(ctx, blobs)
	if err != nil {
		return err
	}
	if err := r.adopt(ctx, found); err != nil {
		return err
	}
	if err := r.removeStale(ctx, batch); err != nil {
		return err
	}
	r.o.Progress(r.counts)
	return nil
}

// removeStale removes the objects of a batch that nothing refers to any more.
func (r *run) removeStale(ctx context.Context, batch []cas.ObjectInfo) error {
	if r.o.Remove == nil || r.o.DryRun {
		return nil
	}
	listed := make(map[cas.ObjectRef]bool, len(batch))
	var old []cas.ObjectRef
	for _, object := range batch {
		listed[object.ObjectRef] = true
		if !r.isYoung(object) {
			old = append(old, object.ObjectRef)
		}
	}
	stale, err := r.o.Index.Stale(ctx, old)
	if err != nil {
		return err
	}
	for _, object := range stale {
		// A live blob without its object may have its only bytes here.
		if object.Live >= 0 && !listed[cas.ObjectRef{Digest: object.Digest, Generation: object.Live}] {
			continue
		}
		if err := r.o.Remove(ctx, object.ObjectRef); err != nil {
			return fmt.Errorf("remove an object of an old generation: %w", err)
		}
		r.counts.Removed++
	}
	return nil
}

// isYoung reports whether an object may still get its row.
func (r *run) isYoung(object cas.ObjectInfo) bool {
	return r.o.MinAge > 0 && object.ModifiedAt.After(r.before)
}

// candidates returns the adoptable objects of each blob, the highest generation first.
func (r *run) candidates(ctx context.Context, batch []cas.ObjectInfo) ([][]cas.ObjectInfo, error) {
	infos := make(map[cas.ObjectRef]cas.ObjectInfo, len(batch))
	var refs []cas.ObjectRef
	for _, object := range batch {
		if !r.isYoung(object) && (r.o.Skip == nil || !r.o.Skip(object.ObjectRef)) {
			infos[object.ObjectRef] = object
			refs = append(refs, object.ObjectRef)
		}
	}
	adoptable, err := r.o.Index.Adoptable(ctx, refs)
	if err != nil {
		return nil, err
	}
	r.counts.Objects += int64(len(batch))
	r.counts.Known += int64(len(batch) - len(adoptable))
	var blobs [][]cas.ObjectInfo
	for i, ref := range adoptable {
		if i == 0 || adoptable[i-1].Digest != ref.Digest {
			blobs = append(blobs, nil)
		}
		last := &blobs[len(blobs)-1]
		*last = append(*last, infos[ref])
	}
	for _, objects := range blobs {
		slices.SortFunc(objects, func(a, b cas.ObjectInfo) int { return cmp.Compare(b.Generation, a.Generation) })
	}
	return blobs, nil
}

// verifyAll returns the blobs of which an object is right.
func (r *run) verifyAll(ctx context.Context, blobs [][]cas.ObjectInfo) ([]cas.Blob, error) {
	var mu sync.Mutex
	var found []cas.Blob
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(r.o.Concurrency)
	for _, objects := range blobs {
		workers.Go(func() error {
			for i, object := range objects {
				isRight, err := r.verify(ctx, object)
				if err != nil {
					return err
				}
				if !isRight {
					continue
				}
				mu.Lock()
				found = append(found, cas.Blob{
					Digest: object.Digest, Generation: object.Generation, Size: object.Size,
					MediaType: cas.DefaultMediaType, State: cas.StateLive, CreatedAt: object.ModifiedAt,
				})
				mu.Unlock()
				// The lower generations are old ones.
				r.count(func(c *Counts) { c.Known += int64(len(objects) - i - 1) })
				break
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}

// verify reports whether an object is the one that its key says. Errors are those of the
// store.
func (r *run) verify(ctx context.Context, object cas.ObjectInfo) (bool, error) {
	err := r.check(ctx, object)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, err
	case errors.Is(err, cas.ErrObjectMissing):
		r.count(func(c *Counts) { c.Gone++ })
		return false, nil
	case errors.Is(err, cas.ErrObjectCorrupt), errors.Is(err, cas.ErrDigestMismatch):
		r.count(func(c *Counts) { c.Wrong++ })
		r.o.Report(Problem{Object: object.ObjectRef, Size: object.Size, Err: err})
		return false, nil
	}
	return false, err
}

// check returns an error that wraps ErrObjectCorrupt or ErrDigestMismatch if the object
// is wrong.
func (r *run) check(ctx context.Context, object cas.ObjectInfo) error {
	stat, err := r.o.Objects.Stat(ctx, object.ObjectRef)
	switch {
	case err != nil:
		return err
	case stat.Size != object.Size:
		return fmt.Errorf("%w: it has %d bytes, and had %d in the listing", cas.ErrObjectCorrupt, stat.Size, object.Size)
	case stat.Digest == object.Digest:
		return nil
	case !stat.Digest.IsZero():
		return fmt.Errorf("%w: the store's checksum of it is %s", cas.ErrObjectCorrupt, stat.Digest)
	}
	r.count(func(c *Counts) { c.Hashed++ })
	opened, err := r.o.Objects.Open(ctx, object.ObjectRef, 0, -1)
	if err != nil {
		return err
	}
	defer opened.Body.Close()
	_, err = io.Copy(io.Discard, readUntilDone{ctx, cas.NewVerifyingReader(opened.Body, object.Digest, object.Size)})
	if _, isDisk := errors.AsType[*fs.PathError](err); isDisk { // a bad sector
		err = fmt.Errorf("%w: %w", cas.ErrObjectCorrupt, err)
	}
	return err
}

// readUntilDone ends a read soon after its context is done.
type readUntilDone struct {
	ctx context.Context
	io.Reader
}

func (r readUntilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// adopt makes rows for verified objects.
func (r *run) adopt(ctx context.Context, blobs []cas.Blob) error {
	if len(blobs) == 0 {
		return nil
	}
	sizes := make(map[cas.ObjectRef]int64, len(blobs))
	refs := make([]cas.ObjectRef, len(blobs))
	for i, b := range blobs {
		if b.CreatedAt.IsZero() {
			blobs[i].CreatedAt = time.Now().UTC()
		}
		refs[i], sizes[b.Object()] = b.Object(), b.Size
	}
	if !r.o.DryRun {
		r.o.OnAdopt(blobs)
		var err error
		if refs, err = r.o.Index.AdoptBlobs(ctx, blobs); err != nil {
			return err
		}
	}
	r.counts.Known += int64(len(blobs) - len(refs)) // others made their rows meanwhile
	r.counts.Adopted += int64(len(refs))
	for _, ref := range refs {
		r.counts.Bytes += sizes[ref]
	}
	return nil
}
