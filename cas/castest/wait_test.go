package castest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas/castest"
)

// fatal is a test that records its end.
type fatal struct {
	testing.TB
	ended bool
}

func (f *fatal) Helper()               {}
func (f *fatal) Fatalf(string, ...any) { f.ended = true; panic(f) }

func TestEventually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		castest.Eventually(t, "a minute passes", func() bool { return time.Since(start) >= time.Minute })
		if took := time.Since(start); took > time.Minute+time.Second {
			t.Errorf("it waited %v", took)
		}
		f := &fatal{TB: t}
		start = time.Now()
		func() {
			defer func() { _ = recover() }()
			castest.Eventually(f, "never", func() bool { return false })
		}()
		if took := time.Since(start); !f.ended || took < castest.WaitLimit || took > castest.WaitLimit+time.Second {
			t.Errorf("it gave up after %v: %t", took, f.ended)
		}
	})
}
