package castest

import (
	"testing"
	"time"
)

// WaitLimit bounds every wait of a test for an event. It is long, since it only has to
// tell a slow machine from an event that never comes.
const WaitLimit = 3 * time.Minute

// waitInterval is how often Eventually looks.
const waitInterval = 5 * time.Millisecond

// Eventually waits until a condition holds that another goroutine or process brings
// about, and fails the test if that takes longer than WaitLimit. It is for conditions
// that announce themselves by no event.
func Eventually(t testing.TB, condition string, holds func() bool) {
	t.Helper()
	poll := time.NewTicker(waitInterval)
	defer poll.Stop()
	for deadline := time.Now().Add(WaitLimit); !holds(); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for: %s", WaitLimit, condition)
		}
	}
}
