package scrubber

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"casgate/cas"
)

// errStalled is the cause of a read's end if it brought no byte for too long.
var errStalled = errors.New("the store sent nothing for too long")

// isDamage reports whether the error of a read proves that the object is damaged.
func isDamage(err error) bool {
	return errors.Is(err, cas.ErrObjectMissing) || errors.Is(err, cas.ErrObjectCorrupt)
}

// check reads a blob's object. Its error wraps cas.ErrObjectMissing or
// cas.ErrObjectCorrupt only if two reads, one after the other, found damage: the way from
// the store can be faulty too.
func (s *Scrubber) check(ctx context.Context, b cas.Blob) error {
	first := s.read(ctx, b)
	if !isDamage(first) {
		return first
	}
	again := s.read(ctx, b)
	if again == nil {
		s.o.Log.Warn().Err(first).Stringer("digest", b.Digest).Msg("an object was read wrongly once, and rightly after that; the way from the store damages bytes")
	}
	return again
}

// read reads a blob's object once and compares its digest.
func (s *Scrubber) read(ctx context.Context, b cas.Blob) error {
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(s.o.Stall, func() { cancel(errStalled) })
	defer watch.Stop()
	err := s.readObject(call, b, watch)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case call.Err() != nil:
		return fmt.Errorf("%w: read %s: %w (%s)", cas.ErrStoreUnavailable, b.Object().Key(), context.Cause(call), s.o.Stall)
	}
	return err
}

func (s *Scrubber) readObject(ctx context.Context, b cas.Blob, watch *time.Timer) error {
	object, err := s.o.Objects.Open(ctx, b.Object(), 0, -1)
	watch.Stop()
	if err != nil {
		return err
	}
	defer object.Body.Close()
	if object.Size != b.Size {
		return fmt.Errorf("%w: %s should have %d bytes, and has %d", cas.ErrObjectCorrupt, b.Object().Key(), b.Size, object.Size)
	}
	paced := &pacedReader{ctx: ctx, src: object.Body, s: s, watch: watch}
	body := cas.NewVerifyingReader(paced, b.Digest, b.Size)
	buffer := make([]byte, s.chunk)
	for err == nil {
		_, err = body.Read(buffer)
	}
	if err == io.EOF {
		return nil
	}
	return cas.ReadDamage(s.o.Objects, err)
}

// pacedReader keeps to the rate, and watches that bytes come.
type pacedReader struct {
	ctx   context.Context
	src   io.Reader
	s     *Scrubber
	watch *time.Timer
}

func (r *pacedReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	r.watch.Reset(r.s.o.Stall)
	n, err := r.src.Read(p[:min(len(p), r.s.chunk)])
	r.watch.Stop()
	r.s.stats.bytes.Add(int64(n))
	if n > 0 {
		if waitErr := r.s.limiter.WaitN(r.ctx, n); waitErr != nil && (err == nil || err == io.EOF) {
			err = waitErr
		}
	}
	return n, err
}

// glance compares the size, and the checksum that the store keeps, without reading the
// object.
func (s *Scrubber) glance(ctx context.Context, b cas.Blob) error {
	call, cancel := context.WithTimeout(ctx, s.o.Stall)
	defer cancel()
	stat, err := s.o.Objects.Stat(call, b.Object())
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case stat.Size != b.Size:
		return fmt.Errorf("%w: %s should have %d bytes, and has %d", cas.ErrObjectCorrupt, b.Object().Key(), b.Size, stat.Size)
	case !stat.Digest.IsZero() && stat.Digest != b.Digest:
		return fmt.Errorf("%w: the store says that %s has the digest %s", cas.ErrObjectCorrupt, b.Object().Key(), stat.Digest)
	}
	return nil
}
