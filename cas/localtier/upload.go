package localtier

import "casgate/cas"

// upload makes a copy of an object while it is uploaded.
type upload struct {
	f        *fill
	isBroken bool // the folder failed, or more bytes came than were declared
}

var _ cas.Witness = (*upload)(nil)

// newUpload returns nil if no copy can be made.
func (t *Tier) newUpload(ref cas.ObjectRef, size int64) *upload {
	t.mu.Lock()
	e := t.acquire(ref)
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.release(e)
	}()
	delete(t.doubted, ref) // the object gets new bytes
	mayCopy := t.mayCopy(ref, e)
	var f *fill
	if mayCopy {
		f = t.newFill(e)
	}
	t.mu.Unlock()
	if !mayCopy {
		return nil
	}
	close(f.opened)
	if !f.create(size) {
		f.finish()
		return nil
	}
	return &upload{f: f}
}

// Saw implements cas.Witness.
func (u *upload) Saw(p []byte) {
	if !u.isBroken {
		u.isBroken = u.f.write(p) != nil
	}
}

// Again implements cas.Witness.
func (u *upload) Again() {
	if !u.isBroken {
		u.f.change(func() { u.f.written = 0 })
	}
}

// end publishes the copy, if the object was stored.
func (u *upload) end(isStored bool) {
	f, t := u.f, u.f.t
	if !isStored || u.isBroken || f.written != f.size {
		f.finish()
		return
	}
	f.isWhole, f.isVerified = true, true // no other goroutine has it yet
	if f.size <= flushFrom {
		f.publish()
		f.finish()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case t.flushs <- struct{}{}:
	default:
		t.work.Go(f.finish)
		return
	}
	if f.e.fill == nil && f.e.barred == 0 && f.e.deletes == f.deletes {
		f.e.fill = f // readers need not wait for the flush
	}
	t.work.Go(func() {
		f.publish()
		f.detach()
		<-t.flushs
		f.finish()
	})
}
