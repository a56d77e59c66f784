package cas

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gabriel-vasile/mimetype"
	"github.com/rs/zerolog"
)

// MaxBlobSize is the largest blob any store takes, in bytes: S3's limit for a
// single PUT, the only kind whose checksum is that of the whole object.
const MaxBlobSize int64 = 5 << 30

// DefaultMediaType is that of bytes nothing is known about.
const DefaultMediaType = "application/octet-stream"

const (
	// sniffLen is how many of a blob's first bytes decide its media type.
	sniffLen = 3072
	// commitTimeout bounds a commit, which goes on when the uploader hangs up:
	// the object is stored, and a row beside it is worth more than none.
	commitTimeout = 15 * time.Second
	// commitAttempts bounds how often an upload that meets deletions starts over.
	commitAttempts = 4
)

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

// Upload is a blob to take in.
type Upload struct {
	Body io.Reader
	// Size in bytes, or -1 where it isn't known.
	Size int64
	// Digest that the body must have; zero where it isn't known.
	Digest Digest
	// MediaType as declared; empty means that the first bytes decide.
	MediaType string
	// Name is kept as the blob's name if it has none yet.
	Name string

	// commit stands in for the index's Commit, see Files.Create.
	commit func(ctx context.Context, b Blob) (row Blob, created bool, err error)
}

// Put takes a blob in. Stored reports whether this upload is the one that brought
// the bytes; where they were there already, Body may not have been read.
//
// When Put returns without an error, the blob is durable in the object store and
// committed in the index. Errors: ErrBlobTooLarge, ErrDigestMismatch, those of
// Body, ErrNoSpace, ErrIndexUnavailable, ErrStoreUnavailable, ErrUploadRaced.
// After an error the blob may be there nevertheless (the last write may have
// been applied without its acknowledgement); repeating an upload is always safe.
func (s *Store) Put(ctx context.Context, u Upload) (b Blob, stored bool, err error) {
	if u.Size > s.maxBlobSize {
		return Blob{}, false, tooLarge(s.maxBlobSize)
	}
	var row Blob
	if !u.Digest.IsZero() {
		if row, err = s.touch(ctx, u.Digest, u.Size); err != nil || row.State == StateLive {
			return row, false, err
		}
		if u.Size > SpoolMemory {
			return s.putStreamed(ctx, u, row.NextObject())
		}
	}

	body, err := s.spool.take(u.Body, s.maxBlobSize)
	if err != nil {
		return Blob{}, false, err
	}
	defer body.Close()
	if u.Size >= 0 && body.size != u.Size {
		return Blob{}, false, fmt.Errorf("%w: the body has %d bytes, and %d were declared", ErrDigestMismatch, body.size, u.Size)
	}
	switch {
	case u.Digest.IsZero():
		if row, err = s.touch(ctx, body.digest, body.size); err != nil || row.State == StateLive {
			return row, false, err
		}
	case body.digest != u.Digest:
		return Blob{}, false, fmt.Errorf("%w: the bytes have digest %s, not %s", ErrDigestMismatch, body.digest, u.Digest)
	}
	return s.putSpooled(ctx, u, row.NextObject(), body)
}

// PutVerified is Put for a client that must have the bytes: if the blob exists already
// and Put needed no byte of Body, PutVerified reads Body to its end and verifies it.
// Its error then wraps ErrDigestMismatch, or is Body's, and b is the existing blob.
func (s *Store) PutVerified(ctx context.Context, u Upload) (b Blob, stored bool, err error) {
	body := &countingReader{src: u.Body}
	u.Body = body
	b, stored, err = s.Put(ctx, u)
	if err != nil || stored || body.n > 0 {
		return b, stored, err
	}
	_, err = io.Copy(io.Discard, NewVerifyingReader(body, b.Digest, b.Size))
	return b, false, err
}

// countingReader counts the bytes that are read from src.
type countingReader struct {
	src io.Reader
	n   int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.n += int64(n)
	return n, err
}

// touch asks the index for the row of an upload; a digest without a row gives one
// that says to write generation 0. A size other than the row's can't be right.
func (s *Store) touch(ctx context.Context, d Digest, size int64) (Blob, error) {
	row, err := s.index.Touch(ctx, d)
	switch {
	case errors.Is(err, ErrBlobNotFound):
		return Blob{Digest: d}, nil
	case err != nil:
		return Blob{}, err
	case row.State == StateLive && size >= 0 && row.Size != size:
		return Blob{}, fmt.Errorf("%w: %s has %d bytes, and %d were declared", ErrDigestMismatch, d, row.Size, size)
	}
	return row, nil
}

// putStreamed hands the body straight to the object store, which can be done
// once only.
func (s *Store) putStreamed(ctx context.Context, u Upload, target ObjectRef) (Blob, bool, error) {
	src := &headReader{src: u.Body}
	body := NewVerifyingReader(src, u.Digest, u.Size)
	if err := s.putObject(ctx, target, body); err != nil {
		return Blob{}, false, err
	}
	row, created, err := s.commit(ctx, u, target, u.Size, src.head)
	if err != nil {
		return Blob{}, false, err
	}
	if row.State != StateLive {
		return Blob{}, false, fmt.Errorf("%w: %s was being removed; send it again", ErrUploadRaced, u.Digest)
	}
	return row, created, nil
}

// putSpooled writes a body that can be read again, under a higher generation
// where the first choice turns out to be on its way out.
func (s *Store) putSpooled(ctx context.Context, u Upload, target ObjectRef, body *spooled) (Blob, bool, error) {
	for range commitAttempts {
		err := s.putObject(ctx, target, NewVerifyingReader(body.reader(), body.digest, body.size))
		if err != nil {
			return Blob{}, false, err
		}
		row, created, err := s.commit(ctx, u, target, body.size, body.head())
		if err != nil {
			return Blob{}, false, err
		}
		if row.State == StateLive {
			return row, created, nil
		}
		target = row.NextObject()
	}
	return Blob{}, false, fmt.Errorf("%w: %s was being removed again and again; send it again", ErrUploadRaced, body.digest)
}

// putObject writes an object. Where the body is what failed, its error is the
// one to report, whatever the layers between made of it.
func (s *Store) putObject(ctx context.Context, target ObjectRef, body *VerifyingReader) error {
	err := s.objects.Put(ctx, target, body)
	if err != nil && body.Err() != nil {
		return body.Err()
	}
	return err
}

// commit records a stored object, whether or not the uploader still waits.
func (s *Store) commit(ctx context.Context, u Upload, target ObjectRef, size int64, head []byte) (Blob, bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	mediaType := u.MediaType
	if mediaType == "" {
		mediaType = mimetype.Detect(head).String()
	}
	commit := s.index.Commit
	if u.commit != nil {
		commit = u.commit
	}
	row, created, err := commit(ctx, Blob{
		Digest:     target.Digest,
		Generation: target.Generation,
		Size:       size,
		MediaType:  mediaType,
		Name:       u.Name,
	})
	if err == nil && row.State == StateLive && row.Size != size {
		// Verified bytes can't have another length: the row is wrong. As a suspect one
		// it is put right by the next upload.
		err = fmt.Errorf("%w: the index says that %s has %d bytes, and it has %d; send it again", ErrObjectCorrupt, target.Digest, row.Size, size)
		s.suspect(row.Object(), err)
	}
	return row, created, err
}

// headReader keeps the first bytes that pass through it.
type headReader struct {
	src  io.Reader
	head []byte
}

func (h *headReader) Read(p []byte) (int, error) {
	n, err := h.src.Read(p)
	if missing := sniffLen - len(h.head); missing > 0 {
		h.head = append(h.head, p[:min(n, missing)]...)
	}
	return n, err
}

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
