package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
	"casgate/cas/s3store/s3client"
)

const (
	// maxResumes limits the requests in a row for the rest of an answer that broke off. The
	// first one is sent at once. The pauses before the others double, and together they are
	// as long as the store may take for the next byte.
	maxResumes = 7
	// enoughBytes between two breaks count as progress: then the resumes are counted anew.
	enoughBytes = 64 << 10
	// enoughEmpty is how many answers in a row, each of which began, and ended without a byte,
	// are enough to ask whether the object is damaged. MinIO answers so from the damaged place
	// on. A store that is down, or starts, does not even begin.
	enoughEmpty = 4
)

// errChanged says that the rest of an object can't be read, since it has been replaced.
var errChanged = errors.New("the object was replaced while it was read")

// wanted is what a GET asks for: length bytes from offset, of any object, or only of the one
// with the ETag. A length below 0 means to the end.
type wanted struct {
	offset, length int64
	etag           string
}

// answer is the answer to a GET.
type answer struct {
	part    *partOf // the bytes that were wanted
	size    int64   // of the object
	etag    string
	version string
}

// get sends one GET. Its errors are those of the client.
func (s *Store) get(ctx context.Context, ref cas.ObjectRef, w wanted) (answer, error) {
	var opts minio.GetObjectOptions
	var err error
	switch {
	case w.length >= 0:
		err = opts.SetRange(w.offset, w.offset+w.length-1)
	case w.offset > 0:
		err = opts.SetRange(w.offset, 0)
	}
	if err == nil && w.etag != "" {
		err = opts.SetMatchETag(w.etag)
	}
	if err != nil {
		return answer{}, fmt.Errorf("range %d+%d: %w", w.offset, w.length, err)
	}
	body, info, header, err := s.client.GetObject(ctx, s.bucket, s.key(ref), opts)
	if err != nil {
		return answer{}, err
	}
	got, err := answeredRange(header.Get("Content-Range"), info.Size)
	if err == nil {
		err = got.covers(w.offset, w.length)
	}
	if err != nil {
		body.Close()
		return answer{}, err
	}
	part := &partOf{ReadCloser: body, skip: w.offset - got.first, left: got.last + 1 - w.offset}
	if w.length >= 0 {
		part.left = min(part.left, w.length)
	}
	return answer{part: part, size: got.size, etag: info.ETag, version: version(info)}, nil
}

// objectBody reads an object, or a range of it. If the answer breaks off, it asks for the
// rest: a store drops a connection whose reader pauses, as MinIO does after 30 seconds, and a
// network or a store that is started again break connections, too. The reader then sees one
// body, and so verifies the whole. The rest is only taken from the same version of the object.
type objectBody struct {
	store   *Store
	ctx     context.Context // the caller's
	started context.Context // of the call
	call    *s3client.Call
	ref     cas.ObjectRef
	etag    string // of the object that was opened; without one, its rest can't be asked for
	version string
	size    int64 // of the object

	pos, end int64 // of what is left to read, in the object
	broken   error // of the present answer
	err      error // of every further Read

	resumes     int       // since countedFrom
	countedFrom int64     // the position at which resumes was 0
	resumedAt   int64     // the position of the last resume
	since       time.Time // when the first resume at this position was due
	empty       int       // the answers to resumes, in a row, that began and had no byte

	mu     sync.Mutex // net/http may close a body while it reads it
	part   *partOf
	closed bool
}

// Read implements io.Reader.
func (b *objectBody) Read(p []byte) (int, error) {
	for b.err == nil && b.pos < b.end {
		if b.broken != nil {
			if b.err = b.resume(); b.err != nil {
				break
			}
		}
		n, err := b.part.Read(p)
		b.pos += int64(n)
		b.broken = err
		switch {
		case n > 0 && b.pos == b.end:
			b.store.doubts.clear()
			return n, io.EOF
		case n > 0 || err == nil:
			return n, nil
		}
	}
	if b.err != nil {
		return 0, b.err
	}
	return 0, io.EOF
}

// resume asks for the rest of an answer that broke off. It returns the error of the read if
// there is none.
func (b *objectBody) resume() error {
	if b.pos-b.countedFrom >= enoughBytes {
		b.countedFrom, b.resumes = b.pos, 0
	}
	if b.resumes == 0 || b.pos > b.resumedAt {
		b.since = time.Now()
	}
	if b.resumes > 0 && b.pos == b.resumedAt && errors.Is(b.broken, io.ErrUnexpectedEOF) {
		b.empty++
	} else {
		b.empty = 0
	}
	cause, isOfBody := b.broken, true
	for {
		isOver := b.resumes == maxResumes || b.resumes > 0 && time.Since(b.since) >= b.store.timeout
		switch {
		case b.started.Err() != nil || b.etag == "":
			return b.failed(cause)
		case isOfBody && (b.empty >= enoughEmpty || isOver && b.empty > 0) && b.store.isReadable(b.ctx):
			return b.store.unreadable(b.ref, cause)
		case isOver:
			return b.failed(cause)
		}
		if err := b.pause(); err != nil {
			return b.failed(err)
		}
		b.resumes++
		b.resumedAt = b.pos
		rest, err := b.store.get(b.started, b.ref, wanted{offset: b.pos, length: b.end - b.pos, etag: b.etag})
		if err == nil {
			if rest.version == b.version && rest.size == b.size {
				return b.goOn(rest.part)
			}
			rest.part.Close()
			return b.failed(errChanged)
		}
		switch minio.ToErrorResponse(err).StatusCode {
		case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
			return b.failed(fmt.Errorf("%w (%v)", errChanged, err))
		}
		wrapped := b.store.openError(b.ctx, b.ref, b.call.Err(err))
		if !errors.Is(wrapped, cas.ErrStoreUnavailable) || errors.Is(wrapped, cas.ErrStoreRefused) {
			return wrapped
		}
		cause, isOfBody = err, false
	}
}

// pause waits before a resume that is not the first one in a row.
func (b *objectBody) pause() error {
	if b.resumes == 0 {
		return nil
	}
	timer := time.NewTimer(b.store.timeout >> maxResumes << b.resumes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.started.Done():
		return context.Cause(b.started)
	}
}

// goOn takes the rest in place of the answer that broke off.
func (b *objectBody) goOn(rest *partOf) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		rest.Close()
		return http.ErrBodyReadAfterClose
	}
	b.part.Close() // its error is known
	b.part = rest
	b.store.resumed.Do(func() {
		b.store.log.Info().Str("object", b.ref.Key()).Int64("position", b.pos).AnErr("cause", b.broken).
			Msg("an answer of the object store broke off; the gateway goes on with another one")
	})
	return nil
}

// failed returns the error of a read that does not go on.
func (b *objectBody) failed(cause error) error {
	if err := b.ctx.Err(); err != nil {
		cause = err
	}
	return b.store.wrap(b.ctx, "get", b.ref, b.call.Err(cause))
}

// Close implements io.Closer.
func (b *objectBody) Close() error {
	b.mu.Lock()
	b.closed = true
	part := b.part
	b.mu.Unlock()
	err := part.Close()
	b.call.End()
	return err
}
