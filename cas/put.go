package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gabriel-vasile/mimetype"
)

const (
	// sniffLen is the number of first bytes that decide a blob's media type.
	sniffLen = 3072
	// commitTimeout limits a commit. A commit continues after the client has left: the
	// object is stored, and a row for it is worth more than none.
	commitTimeout = 15 * time.Second
	// commitAttempts limits how often an upload that meets deletions starts again.
	commitAttempts = 4
)

// Upload is a blob to store.
type Upload struct {
	Body io.Reader
	// Size is in bytes; -1 if it isn't known.
	Size int64
	// Digest is the digest that Body must have; zero if it isn't known.
	Digest Digest
	// MediaType is the declared one; if it is empty, the first bytes decide.
	MediaType string
	// Name becomes the blob's name if the blob has none yet.
	Name string

	// commit replaces the index's Commit, see Files.Create.
	commit func(ctx context.Context, b Blob) (row Blob, created bool, err error)
}

// Put stores a blob. Stored reports whether this upload brought the bytes. If the blob
// exists already, Put may not read Body.
//
// If Put returns no error, the blob is durable in the object store and committed in the
// index. Errors: ErrBlobTooLarge, ErrDigestMismatch, those of Body, ErrNoSpace,
// ErrIndexUnavailable, ErrStoreUnavailable, ErrUploadRaced. After an error the blob may
// exist nevertheless, since the last write may have been applied without its
// acknowledgement. Repeating an upload is always safe.
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
		return Blob{}, false, fmt.Errorf("%w: the body has %d bytes, but the client declared %d", ErrDigestMismatch, body.size, u.Size)
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

// touch asks the index for the row of an upload. Without a row it returns one that
// means: write generation 0. A declared size that differs from a live row's is an error.
func (s *Store) touch(ctx context.Context, d Digest, size int64) (Blob, error) {
	row, err := s.index.Touch(ctx, d)
	switch {
	case errors.Is(err, ErrBlobNotFound):
		return Blob{Digest: d}, nil
	case err != nil:
		return Blob{}, err
	case row.State == StateLive && size >= 0 && row.Size != size:
		return Blob{}, fmt.Errorf("%w: %s has %d bytes, but the client declared %d", ErrDigestMismatch, d, row.Size, size)
	}
	return row, nil
}

// putStreamed streams the body to the object store. It can't be repeated.
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
		return Blob{}, false, fmt.Errorf("%w: %s was removed during the upload; send it again", ErrUploadRaced, u.Digest)
	}
	return row, created, nil
}

// putSpooled writes a body that can be read again. If the collector is removing the
// target generation, putSpooled writes a higher one.
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
	return Blob{}, false, fmt.Errorf("%w: %s was removed again and again during the upload; send it again", ErrUploadRaced, body.digest)
}

// putObject writes an object. If the body failed, putObject returns the body's own
// error, not the error that the object store's client made of it.
func (s *Store) putObject(ctx context.Context, target ObjectRef, body *VerifyingReader) error {
	err := s.objects.Put(ctx, target, body)
	if err != nil && body.Err() != nil {
		return body.Err()
	}
	return err
}

// commit records a stored object, even if the client has left.
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
		// The bytes are verified, so the row's size is wrong. Once the row is suspect, the
		// next upload corrects it.
		err = fmt.Errorf("%w: the index has %d bytes for %s, but it has %d; send it again", ErrObjectCorrupt, row.Size, target.Digest, size)
		s.suspect(row.Object(), err)
	}
	return row, created, err
}

// headReader keeps the first bytes that are read through it.
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
