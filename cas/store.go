package cas

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// MaxBlobSize is the largest blob any store takes, in bytes: S3's limit for a
// single PUT, the only kind whose checksum is that of the whole object.
const MaxBlobSize int64 = 5 << 30

// Options configures a Store. The zero value of each field is a sensible default.
type Options struct {
	// SpoolDir is the folder for uploads of unknown digest or length while they are
	// hashed; empty means os.TempDir.
	SpoolDir string
	// SpoolLimit limits the bytes of all spooled uploads together; 0 means no limit.
	SpoolLimit int64
	// MaxBlobSize is the largest blob, in bytes; 0 means the package's MaxBlobSize, which
	// is also the upper limit.
	MaxBlobSize int64
	// HotBlobSize is the largest blob kept in memory, in bytes; 0 means 256 KiB, and a
	// negative value keeps none.
	HotBlobSize int64
	// HotBytes limits what the blobs in memory cost of the resident memory; 0 means 256 MiB.
	// With the usual GOGC of 100 that is about twice their bytes.
	HotBytes int64
	// VerifiedFor is the time for which full reads of an object whose digest was verified
	// compare a fingerprint of its bytes, which is faster; 0 means that every full read
	// computes the digest.
	VerifiedFor time.Duration
	// SeenFor is the time for which an object that was written, read or looked at counts
	// as present, so that an upload of its bytes is answered without a new look; 0 means
	// one hour, and a negative value that every such upload looks.
	SeenFor time.Duration
	// Remembered is the number of objects whose verification is remembered, and of those
	// whose presence is. 0 means 100,000, which take about 10 MB each.
	Remembered int64
	// ReadWithoutIndex makes Blob find a blob by its object while the index is
	// unavailable. A deleted blob can then be read again until its object is removed.
	ReadWithoutIndex bool
	// RecordUses makes TakeUses return the blobs that were read.
	RecordUses bool
	// Log receives what no caller gets as an error: damage found, and failed bookkeeping.
	Log zerolog.Logger
}

// Store joins bytes and index: a blob that it acknowledges is durable in the object
// store and committed in the index. It is safe for concurrent use.
type Store struct {
	objects     ObjectStore
	index       Index
	maxBlobSize int64
	spool       *spool
	memory      *memory
	// readWithoutIndex is Options.ReadWithoutIndex.
	readWithoutIndex bool
	uses             *uses // nil: not recorded
	log              zerolog.Logger
}

// NewStore returns a Store on an object store and an index. It returns an error if the
// options are invalid, or if the spool folder can't be written to.
func NewStore(objects ObjectStore, index Index, o Options) (*Store, error) {
	if o.MaxBlobSize < 0 || o.MaxBlobSize > MaxBlobSize {
		return nil, fmt.Errorf("maximum blob size %d is not between 1 and %d bytes (5 GiB, the most one S3 PUT can take)", o.MaxBlobSize, MaxBlobSize)
	}
	probe, err := unlinkedFile(o.SpoolDir)
	if err != nil {
		return nil, fmt.Errorf("the spool folder %q can't be written to: %w", cmp.Or(o.SpoolDir, os.TempDir()), err)
	}
	probe.Close()
	memory, err := newMemory(o)
	if err != nil {
		return nil, fmt.Errorf("set up the blob cache: %w", err)
	}
	s := &Store{
		objects:     objects,
		index:       index,
		maxBlobSize: cmp.Or(o.MaxBlobSize, MaxBlobSize),
		spool:       newSpool(o.SpoolDir, o.SpoolLimit),
		memory:      memory,

		readWithoutIndex: o.ReadWithoutIndex,

		log: o.Log,
	}
	if o.RecordUses {
		s.uses = &uses{seen: make(map[Digest]struct{})}
	}
	return s, nil
}

// Close releases the store's memory. It does not close the object store and the index.
func (s *Store) Close() { s.memory.close() }

// MaxBlobSize returns the largest blob the store takes, in bytes.
func (s *Store) MaxBlobSize() int64 { return s.maxBlobSize }

// Delete condemns a blob: readers no longer see it, and the collector removes its bytes
// later. Errors: ErrBlobNotFound, ErrBlobInUse unless o.Force is set, ErrIndexUnavailable with
// ErrDeleteUnconfirmed.
func (s *Store) Delete(ctx context.Context, d Digest, o CondemnOptions) error {
	return unconfirmedDelete(s.index.Condemn(ctx, d, o))
}

// unconfirmedDelete marks the error of a delete that the index may have done: its confirmation
// may be what was lost.
func unconfirmedDelete(err error) error {
	if errors.Is(err, ErrIndexUnavailable) {
		return fmt.Errorf("%w: %w", ErrDeleteUnconfirmed, err)
	}
	return err
}

// Confirm asks the index, without its cache, whether readers may see a blob. Errors:
// ErrBlobNotFound, ErrIndexUnavailable.
func (s *Store) Confirm(ctx context.Context, d Digest) error {
	missing, err := s.index.Missing(ctx, []Digest{d})
	if err == nil && len(missing) > 0 {
		_, err = s.refetch(ctx, d) // for uploads a suspect blob is missing; for readers it is not
	}
	return err
}

// Hidden returns those of the digests whose blobs readers can't see, such as deleted ones.
// It asks the index without its cache. Errors: ErrIndexUnavailable.
func (s *Store) Hidden(ctx context.Context, ds []Digest) (map[Digest]bool, error) {
	missing, err := s.index.Missing(ctx, ds)
	if err != nil {
		return nil, err
	}
	hidden := make(map[Digest]bool, len(missing))
	for _, d := range missing { // few, and a suspect one is missing for uploads only
		_, err := s.refetch(ctx, d)
		if err != nil && !errors.Is(err, ErrBlobNotFound) {
			return nil, err
		}
		if err != nil {
			hidden[d] = true
		}
	}
	return hidden, nil
}

// Missing returns the digests whose bytes an upload would have to bring, in the order
// of ds. It looks at the objects of the others, unless they were seen recently. Errors:
// ErrIndexUnavailable, ErrStoreUnavailable.
func (s *Store) Missing(ctx context.Context, ds []Digest) ([]Digest, error) {
	missing, _, err := s.Present(ctx, ds)
	return missing, err
}

// Present is Missing, with the blobs of the digests that are not missing.
func (s *Store) Present(ctx context.Context, ds []Digest) (missing []Digest, present map[Digest]Blob, err error) {
	unknown, err := s.index.Missing(ctx, ds)
	if err != nil {
		return nil, nil, err
	}
	present = make(map[Digest]Blob, len(ds))
	known := make(map[Digest]bool, len(ds)) // whether the object is missing
	for _, d := range ds {
		known[d] = false
	}
	for _, d := range unknown {
		delete(known, d)
	}
	var mu sync.Mutex
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(parallelLooks)
	for d := range maps.Clone(known) {
		looks.Go(func() error {
			b, err := s.index.Blob(ctx, d)
			if err == nil {
				b, err = s.look(ctx, b)
			}
			if err != nil && !errors.Is(err, ErrBlobNotFound) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			known[d] = err != nil || b.State != StateLive
			if !known[d] {
				present[d] = b
			}
			return nil
		})
	}
	if err := looks.Wait(); err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc(slices.Clone(ds), func(d Digest) bool {
		missing, isKnown := known[d]
		return isKnown && !missing
	}), present, nil
}

// parallelLooks limits the objects that one call of Missing looks at together.
const parallelLooks = 16

// WithPrefix returns at most limit blobs whose digests begin with these bits, in the order
// of the digests. First is the digest with zeros after them, and last that with ones.
func (s *Store) WithPrefix(ctx context.Context, first, last Digest, limit int) ([]Blob, error) {
	return s.index.Between(ctx, first, last, limit)
}

// List returns a page of blobs, oldest first.
func (s *Store) List(ctx context.Context, q Query) ([]Blob, error) { return s.index.List(ctx, q) }

// listWindow is the number of blobs that ListSome looks at. SQLite takes 0.1 ms for each on a
// busy machine, if none of their rows is in its cache.
const listWindow = 2_000

// ListSome is List for a query that may match little: it looks at a bounded number of
// blobs. If there are more, and it did not find q.Limit, next says where to go on; else
// next is zero.
func (s *Store) ListSome(ctx context.Context, q Query) (blobs []Blob, next Cursor, err error) {
	if q.IsFiltered() {
		if next, err = s.index.Skip(ctx, q.After, max(listWindow, q.Limit)); err != nil {
			return nil, Cursor{}, err
		}
		q.Through = next
	}
	blobs, err = s.index.List(ctx, q)
	if err != nil || len(blobs) >= q.Limit {
		next = Cursor{}
	}
	return blobs, next, err
}

// CheckIndex returns an error if the index does not answer.
func (s *Store) CheckIndex(ctx context.Context) error { return s.index.Check(ctx) }

// CheckObjects returns an error if the object store does not answer.
func (s *Store) CheckObjects(ctx context.Context) error { return s.objects.Check(ctx) }

// CheckSpool returns an error if an upload that does not fit into memory can't be spooled.
func (s *Store) CheckSpool(context.Context) error { return s.spool.check() }

// committed tells an index with a cache of a commit that bypassed it.
func (s *Store) committed(row Blob) {
	if l, ok := s.index.(CommitObserver); ok {
		l.Committed(row)
	}
}
