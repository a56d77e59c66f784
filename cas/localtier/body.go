package localtier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"casgate/cas"
)

// body reads a copy, or one that a fill is making. If the folder fails, it goes on with the
// object itself.
type body struct {
	t   *Tier
	ctx context.Context // the reader's
	e   *entry

	size     int64 // of the object
	pos, end int64 // of what is left to read
	file     *os.File
	fill     *fill         // nil: the copy was published before
	rest     io.ReadCloser // the object itself from pos on; nil: the copy is read
	copyOnly bool          // no rest
	closed   sync.Once
}

var (
	_ io.WriterTo = (*body)(nil)
	_ cas.Copy    = (*body)(nil)
)

// newBody returns a body without its file, or nil if the range can't be satisfied.
func (t *Tier) newBody(ctx context.Context, e *entry, size, offset, length int64) *body {
	if offset < 0 || offset > size || offset == size && size > 0 {
		return nil
	}
	end := size
	if length >= 0 && length < size-offset {
		end = offset + length
	}
	return &body{t: t, ctx: ctx, e: e, size: size, pos: offset, end: end}
}

func (b *body) object() cas.Object {
	return cas.Object{Body: b, Size: b.size, Version: versionOf(b.e.ref), Copy: b}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.pos >= b.end {
		return 0, io.EOF
	}
	if b.rest == nil {
		n, err := b.readCopy(p)
		if err == nil || b.rest == nil {
			return n, err
		}
	}
	n, err := b.rest.Read(p[:min(int64(len(p)), b.end-b.pos)])
	b.pos += int64(n)
	return n, err
}

// readCopy reads the copy. If that fails, it returns an error, and b.rest is set if there is
// another way.
func (b *body) readCopy(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	p = p[:min(int64(len(p)), b.end-b.pos)]
	if b.fill != nil {
		n, written, err := b.fill.next(b.ctx, b.pos, p)
		if err == errFolder {
			return 0, b.leaveCopy(err)
		}
		if err != nil {
			return 0, err
		}
		if n > 0 {
			b.pos += int64(n)
			return n, nil
		}
		p = p[:min(int64(len(p)), written-b.pos)]
	}
	n, err := b.file.ReadAt(p, b.pos)
	b.pos += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, b.leaveCopy(b.lost(err))
}

// lost records that the file on disk can't be read, and returns why.
func (b *body) lost(err error) error {
	if err == io.EOF || err == nil {
		b.Damaged()
		return fmt.Errorf("%w: a copy ends after %d of %d bytes", cas.ErrStoreUnavailable, b.pos, b.size)
	}
	b.t.failed("read a copy", err)
	b.t.Forget(b.e.ref)
	return fmt.Errorf("%w: %w", cas.ErrStoreUnavailable, err)
}

// leaveCopy goes on with the object itself. It always returns an error.
func (b *body) leaveCopy(cause error) error {
	if b.copyOnly {
		return cause
	}
	length := b.end - b.pos
	if b.end == b.size {
		length = -1
	}
	object, err := b.t.inner.Open(b.ctx, b.e.ref, b.pos, length)
	if err != nil {
		return err
	}
	b.rest = object.Body
	return cause
}

// WriteTo implements io.WriterTo. The kernel sends a published copy by itself, if w is a
// connection.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	var sent int64
	if b.fill == nil && b.rest == nil && b.pos < b.end {
		var err error
		if sent, err = b.sendFile(w); b.pos == b.end || err != nil && b.rest == nil {
			return sent, err
		}
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{b}, buffer[:])
	return sent + n, err
}

// sendFile sends the file on disk. If the folder fails, b.rest is set.
func (b *body) sendFile(w io.Writer) (int64, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if _, err := b.file.Seek(b.pos, io.SeekStart); err != nil {
		return 0, b.leaveCopy(b.lost(err))
	}
	if b.size >= slowSize {
		b.t.mu.Lock()
		delete(b.t.private, b.e.ref)
		b.t.mu.Unlock()
	}
	n, err := io.Copy(w, &io.LimitedReader{R: b.file, N: b.end - b.pos})
	b.pos += n
	if err == nil && b.pos < b.end || isDiskError(err) {
		return n, b.leaveCopy(b.lost(err))
	}
	return n, err
}

// isDiskError tells an error of a disk from one of a connection.
func isDiskError(err error) bool {
	const damagedFileSystem = syscall.Errno(117) // Linux's EUCLEAN
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EBADMSG) || errors.Is(err, syscall.ESTALE) || errors.Is(err, damagedFileSystem)
}

// Close implements io.Closer.
func (b *body) Close() error {
	var err error
	b.closed.Do(func() {
		if b.rest != nil {
			err = b.rest.Close()
		}
		if b.fill != nil {
			b.fill.leave()
		} else {
			b.file.Close() // it was only read
		}
		b.t.mu.Lock()
		defer b.t.mu.Unlock()
		b.t.closed(b.e)
	})
	return err
}

// IsFresh implements cas.Copy.
func (b *body) IsFresh() bool { return b.fill != nil && b.fill.isFresh }

// Verified implements cas.Copy.
func (b *body) Verified() {
	if b.fill != nil && b.rest == nil {
		b.fill.setVerified()
	}
}

// Damaged implements cas.Copy.
func (b *body) Damaged() {
	if b.t.doubt(b.e.ref) && !b.IsFresh() {
		b.t.counts.damaged.Add(1)
	}
}

const (
	bufferSize = 128 << 10
	// largeSize is the size of the buffers that a few copies in the making have, in bytes: a
	// file system takes less time for large writes, and for reads of what they wrote.
	largeSize = 1 << 20
	maxLarge  = 8
)

var (
	buffers      = sync.Pool{New: func() any { return new([bufferSize]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeSize]byte) }}
	largeInUse   = make(chan struct{}, maxLarge)
)

// takeLarge returns a large buffer, which the caller frees, or nil if too many are in use.
func takeLarge() (buffer []byte, free func()) {
	select {
	case largeInUse <- struct{}{}:
		b := largeBuffers.Get().(*[largeSize]byte)
		return b[:], func() { largeBuffers.Put(b); <-largeInUse }
	default:
		return nil, func() {}
	}
}
