package localtier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"casgate/cas"
)

// ahead is how far a range may lie behind the bytes that a fill has: then its reader waits
// for them, and doesn't ask the store behind the tier.
const ahead = 8 << 20

// Open implements cas.ObjectStore.
func (t *Tier) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	if err := ctx.Err(); err != nil {
		return cas.Object{}, err
	}
	t.mu.Lock()
	e := t.acquire(ref)
	switch {
	case e.barred > 0 || t.isDoubted(ref):
		t.release(e)
		t.mu.Unlock()
		return t.openInner(ctx, ref, offset, length)
	case e.fill != nil && e.fill.reaches(offset):
		f, asked := e.fill, time.Now()
		object, err := t.join(ctx, e, f, offset, length)
		switch {
		case err != errNotOpened:
			return object, err
		case errors.Is(f.openErr, cas.ErrStoreUnavailable) && asked.Sub(f.began) < sameOutage:
			return cas.Object{}, f.openErr
		}
		// That fill may have begun long ago, and its error says nothing about the object now.
		return t.openInner(ctx, ref, offset, length)
	}
	b, err := t.openPublished(ctx, e, offset, length)
	switch {
	case err == nil:
		t.counts.hits.Add(1)
		t.record.use(ref)
		return b.object(), nil
	case ctx.Err() != nil:
		return cas.Object{}, context.Cause(ctx)
	case !errors.Is(err, cas.ErrObjectMissing): // the copy may be there still
		return t.openInner(ctx, ref, offset, length)
	case offset > 0 || length >= 0:
		return t.openRange(ctx, ref, offset, length)
	}
	return t.fill(ctx, ref)
}

// sameOutage is the time within which two reads meet the same outage of the store: the second
// one does not try again, which would take as long once more.
const sameOutage = time.Second

// errNotOpened says that a fill could not open the object.
var errNotOpened = errors.New("the fill could not open the object")

// openInner reads the object itself.
func (t *Tier) openInner(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	t.counts.misses.Add(1)
	return t.inner.Open(ctx, ref, offset, length)
}

// openRange reads a range of the object itself. If the object is small enough, the tier then
// makes a copy of all of it.
func (t *Tier) openRange(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	object, err := t.openInner(ctx, ref, offset, length)
	if err != nil || object.Size >= t.fillLimit || object.Size > t.limit {
		return object, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.acquire(ref)
	defer t.release(e)
	if e.fill == nil && t.mayFill(e) && t.unread < maxUnread && !t.hasCopy(ref) {
		f := t.startFill(e)
		f.isUnread = true
		t.unread++
	}
	return object, nil
}

// fill reads the whole object, and makes a copy of it meanwhile. The object had no fill when
// the caller's read began.
func (t *Tier) fill(ctx context.Context, ref cas.ObjectRef) (cas.Object, error) {
	t.mu.Lock()
	e := t.acquire(ref)
	f := e.fill
	if f == nil {
		// A copy may have been published a moment ago. Another fill would only replace it.
		if t.hasCopy(ref) || !t.mayFill(e) {
			t.release(e)
			t.mu.Unlock()
			return t.openInner(ctx, ref, 0, -1)
		}
		f = t.startFill(e)
		f.counted = true
		t.counts.misses.Add(1)
	}
	object, err := t.join(ctx, e, f, 0, -1)
	if err == errNotOpened {
		err = f.openErr
	}
	return object, err
}

// join reads from a fill. It takes over the caller's use of the entry, and unlocks t.mu.
// It returns errNotOpened if the fill could not open the object.
func (t *Tier) join(ctx context.Context, e *entry, f *fill, offset, length int64) (cas.Object, error) {
	e.readers++
	f.join()
	if !f.counted {
		t.counts.joins.Add(1)
	}
	f.counted = false
	t.mu.Unlock()
	leave := func() {
		f.leave()
		t.mu.Lock()
		t.closed(e)
		t.mu.Unlock()
	}
	select {
	case <-f.opened:
	case <-ctx.Done():
		leave()
		return cas.Object{}, context.Cause(ctx)
	}
	if f.openErr != nil {
		leave()
		return cas.Object{}, errNotOpened
	}
	if f.draft == nil { // there is no room for a copy
		object, ok := f.takeOver(ctx, offset, length)
		leave()
		if !ok {
			return t.openInner(ctx, e.ref, offset, length)
		}
		return object, nil
	}
	b := t.newBody(ctx, e, f.size, offset, length)
	if b == nil {
		leave()
		return cas.Object{}, fmt.Errorf("%w: offset %d of %s, which has %d bytes", cas.ErrRangeNotSatisfiable, offset, e.ref.Key(), f.size)
	}
	b.file, b.fill = f.draft.File, f
	return b.object(), nil
}

// openPublished opens the copy of an object that is on the disk. It returns
// cas.ErrObjectMissing if there is none, and deals with what is wrong with one. It takes over
// the caller's use of the entry, and unlocks t.mu.
func (t *Tier) openPublished(ctx context.Context, e *entry, offset, length int64) (*body, error) {
	e.readers++
	t.mu.Unlock()
	object, err := t.folder.Open(ctx, e.ref, 0, -1)
	if err == nil {
		if b := t.newBody(ctx, e, object.Size, offset, length); b != nil {
			b.file = object.Body.(*os.File) // as the folder store says of a whole object
			return b, nil
		}
		object.Body.Close()
	}
	t.mu.Lock()
	t.closed(e)
	t.mu.Unlock()
	switch {
	case err == nil:
		err = fmt.Errorf("%w: offset %d of the copy of %s, which has %d bytes", cas.ErrRangeNotSatisfiable, offset, e.ref.Key(), object.Size)
		if t.doubt(e.ref) {
			t.counts.damaged.Add(1)
		}
	case ctx.Err() != nil:
	case errors.Is(err, cas.ErrObjectCorrupt):
		// Something else is in its place, or it is unreadable. It goes; if that fails too, the
		// folder fails.
		t.counts.errors.Add(1)
		t.Forget(e.ref)
	case !errors.Is(err, cas.ErrObjectMissing):
		t.failed("open a copy", err)
	}
	return nil, err
}

// hasCopy reports whether a copy is published.
func (t *Tier) hasCopy(ref cas.ObjectRef) bool {
	_, err := t.folder.Stat(context.Background(), ref)
	return err == nil
}

// Copies returns the copies of a blob, of any generation, for a repair of its object.
func (t *Tier) Copies(b cas.Blob) ([]cas.ObjectRef, error) {
	found, err := t.folder.ListPart(partOf(b.Object()))
	if err != nil {
		return nil, fmt.Errorf("list the copies in the local tier: %w", err)
	}
	var refs []cas.ObjectRef
	for _, o := range found {
		if o.Digest == b.Digest && o.Size == b.Size {
			refs = append(refs, o.ObjectRef)
		}
	}
	return refs, nil
}

// OpenCopy reads a copy. It returns cas.ErrObjectMissing if there is none.
func (t *Tier) OpenCopy(ctx context.Context, ref cas.ObjectRef) (io.ReadCloser, error) {
	t.mu.Lock()
	b, err := t.openPublished(ctx, t.acquire(ref), 0, -1)
	if err != nil {
		return nil, err
	}
	b.copyOnly = true
	return b, nil
}
