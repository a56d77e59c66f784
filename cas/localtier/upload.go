package localtier

import (
	"sync"

	"casgate/cas"
)

// upload makes a copy of an object while it is uploaded.
type upload struct {
	f *fill

	mu       sync.Mutex // net/http may go on reading a body after the store has answered
	isBroken bool       // the folder failed, or more bytes came than were declared
	isEnded  bool
	// held are bytes that are not written yet: a file on disk that is written in large pieces
	// takes less time, and so do its reads. Nil: each piece is written as it comes.
	held []byte
	free func()
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
	mayCopy := t.mayCopy(e)
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
	u := &upload{f: f, free: func() {}}
	if size > bufferSize {
		u.held, u.free = takeLarge()
		u.held = u.held[:0]
	}
	return u
}

// Saw implements cas.Witness.
func (u *upload) Saw(p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.isEnded:
		return
	case u.held == nil:
		u.write(p)
		return
	}
	for len(p) > 0 {
		n := min(len(p), cap(u.held)-len(u.held))
		u.held, p = append(u.held, p[:n]...), p[n:]
		if len(u.held) == cap(u.held) {
			u.flush()
		}
	}
}

// flush writes the bytes that are held.
func (u *upload) flush() {
	u.write(u.held)
	u.held = u.held[:0]
}

func (u *upload) write(p []byte) {
	if !u.isBroken && len(p) > 0 {
		u.isBroken = u.f.write(p) != nil
	}
}

// Again implements cas.Witness.
func (u *upload) Again() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.isEnded {
		return
	}
	u.held = u.held[:0]
	if !u.isBroken {
		u.f.change(func() { u.f.written = 0 })
	}
}

// end publishes the copy, if the object was stored. What comes later is left out.
func (u *upload) end(isStored bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.isEnded = true
	defer u.free()
	if isStored {
		u.flush()
	}
	if isStored && !u.isBroken && u.f.written == u.f.size {
		u.f.publish()
	}
	u.f.finish()
}
