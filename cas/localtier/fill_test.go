package localtier

import (
	"path/filepath"
	"testing"

	"casgate/cas"
)

// A reader that leaves a fill which has ended, but has not finished, does not make it a fill
// without readers, and does not cancel the body that it took over.
func TestLeaveAnEndedFill(t *testing.T) {
	t.Parallel()
	tier, err := New(nil, Options{Dir: filepath.Join(t.TempDir(), "tier"), Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer tier.Close()
	for name, unread := range map[string]int{"few": 0, "the most": maxUnread} {
		tier.mu.Lock()
		tier.unread = unread
		e := tier.acquire(cas.ObjectRef{})
		f := tier.newFill(e)
		f.join()
		tier.mu.Unlock()
		f.detach()
		close(f.opened)
		f.leave()
		if err := f.ctx.Err(); err != nil {
			t.Errorf("%s fills without readers: %v", name, err)
		}
		f.finish()
		tier.mu.Lock()
		if tier.unread != unread {
			t.Errorf("%d fills without readers, want %d", tier.unread, unread)
		}
		tier.release(e)
		if len(tier.entries) > 0 {
			t.Errorf("%d objects are in use", len(tier.entries))
		}
		tier.mu.Unlock()
	}
}

// A tier that closes does not wait until a copy is verified. That is no fault of the folder.
func TestVerificationEndsWithTheTier(t *testing.T) {
	t.Parallel()
	tier, err := New(nil, Options{Dir: filepath.Join(t.TempDir(), "tier"), Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer tier.Close()
	b := []byte("right bytes")
	tier.mu.Lock()
	f := tier.newFill(tier.acquire(cas.ObjectRef{Digest: cas.DigestOf(b)}))
	tier.mu.Unlock()
	if !f.create(int64(len(b))) || f.write(b) != nil || !f.verify() {
		t.Fatal("no copy was made")
	}
	tier.cancel()
	if f.verify() {
		t.Error("the copy was verified after the end")
	}
	if s := tier.Stats(); s.Errors > 0 {
		t.Errorf("%+v", s)
	}
	f.finish()
}

// A large object is not fetched for readers that left before it was opened.
func TestReadersLeaveBeforeALargeObjectIsOpened(t *testing.T) {
	t.Parallel()
	tier, err := New(nil, Options{Dir: filepath.Join(t.TempDir(), "tier"), Size: 1000, FillLimit: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer tier.Close()
	for _, size := range []int64{99, 100} {
		tier.mu.Lock()
		f := tier.newFill(tier.acquire(cas.ObjectRef{}))
		f.join()
		tier.mu.Unlock()
		f.leave()
		if !f.create(size) {
			t.Fatal("no room")
		}
		close(f.opened)
		f.stopUnread()
		if ended := f.ctx.Err() != nil; ended != (size == 100) {
			t.Errorf("of %d bytes: the fill ended: %t", size, ended)
		}
		f.detach()
		f.finish()
	}
}
