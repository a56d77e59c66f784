package cas

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A lock is had by one at a time, given up after a while or with the caller, and forgotten at the end.
func TestKeyLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locks keyLocks
		one, other := [32]byte{1}, [32]byte{2}
		unlock, err := locks.lock(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		unlockOther, err := locks.lock(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := locks.lock(t.Context(), one); !errors.Is(err, ErrKeyInUse) || time.Since(began) != keyPatience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := locks.lock(ctx, one); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		time.AfterFunc(time.Second, unlock)
		began = time.Now()
		unlock, err = locks.lock(t.Context(), one)
		if err != nil || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		unlock()
		unlockOther()
		if len(locks.held) > 0 {
			t.Errorf("%d locks are left", len(locks.held))
		}
	})
}
