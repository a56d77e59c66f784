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
	if isStored && !u.isBroken && u.f.written == u.f.size {
		u.f.publish()
	}
	u.f.finish()
}
