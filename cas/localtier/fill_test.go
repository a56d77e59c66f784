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
