package cas

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// MaxBlobSize is the largest blob any store takes, in bytes: S3's limit for a
// single PUT, the only kind whose checksum is that of the whole object.
const MaxBlobSize int64 = 5 << 30

// DefaultMediaType is that of bytes nothing is known about.
const DefaultMediaType = "application/octet-stream"

// Options configures a Store. The zero value of each field but SpoolDir has a
// sensible meaning.
type Options struct {
	// SpoolDir is where uploads of unknown digest or length lie while they are
	// hashed; empty means os.TempDir.
	SpoolDir string
	// SpoolLimit bounds the bytes of all spooled uploads together; 0: the disk does.
	SpoolLimit int64
	// MaxBlobSize in bytes; 0 means the package's MaxBlobSize, which is also the
	// most.
	MaxBlobSize int64
	// HotBlobSize is the largest blob kept in memory; 0 means 256 KiB, negative none.
	HotBlobSize int64
	// HotBytes is how many bytes of blobs are kept in memory; 0 means 256 MiB.
	HotBytes int64
	// VerifiedFor is how long a verification by a full read is trusted; 0 means
	// that every full read verifies.
	VerifiedFor time.Duration
	// Log gets what no caller is told of: failed bookkeeping, found damage.
	Log zerolog.Logger
}

// Store brings bytes and index together: what it acknowledges is durable in the
// object store and committed in the index. It is safe for concurrent use.
type Store struct {
	objects     ObjectStore
	index       Index
	maxBlobSize int64
	spool       *spool
	memory      *memory
	log         zerolog.Logger
}

// NewStore puts a Store together. It fails where the options contradict
// themselves or the spool folder can't be written to.
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
	return &Store{
		objects:     objects,
		index:       index,
		maxBlobSize: cmp.Or(o.MaxBlobSize, MaxBlobSize),
		spool:       newSpool(o.SpoolDir, o.SpoolLimit),
		memory:      memory,
		log:         o.Log,
	}, nil
}

// Close releases the store's memory. The object store and the index are their
// owner's to close.
func (s *Store) Close() { s.memory.close() }

// MaxBlobSize returns the largest blob the store takes, in bytes.
func (s *Store) MaxBlobSize() int64 { return s.maxBlobSize }

// Delete condemns a blob: from then on no reader sees it, and its bytes go later.
// Errors: ErrBlobNotFound, ErrBlobInUse unless forced, ErrIndexUnavailable.
func (s *Store) Delete(ctx context.Context, d Digest, force bool) error {
	return s.index.Condemn(ctx, d, force)
}

// Confirm asks the index itself whether readers may see a blob, whatever is
// remembered of it. Errors: ErrBlobNotFound, ErrIndexUnavailable.
func (s *Store) Confirm(ctx context.Context, d Digest) error {
	missing, err := s.index.Missing(ctx, []Digest{d})
	if err == nil && len(missing) > 0 {
		_, err = s.refetch(ctx, d) // a suspect blob is missing to uploads alone
	}
	return err
}

// Missing returns those of the digests whose bytes an upload would have to bring,
// in their order.
func (s *Store) Missing(ctx context.Context, ds []Digest) ([]Digest, error) {
	return s.index.Missing(ctx, ds)
}

// List returns a page of blobs, oldest first.
func (s *Store) List(ctx context.Context, q Query) ([]Blob, error) { return s.index.List(ctx, q) }

// CheckIndex and CheckObjects tell whether the two parts answer.
func (s *Store) CheckIndex(ctx context.Context) error { return s.index.Check(ctx) }

// CheckObjects is described at CheckIndex.
func (s *Store) CheckObjects(ctx context.Context) error { return s.objects.Check(ctx) }

// committed tells an index that remembers answers of a commit past it.
func (s *Store) committed(row Blob) {
	if l, ok := s.index.(CommitObserver); ok {
		l.Committed(row)
	}
}
