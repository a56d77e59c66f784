package castest

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// AsNobody runs a function as a user who may read the folders that the test has made, and change nothing
// there, as on a disk that has become read-only. Goroutines that it starts may.
func AsNobody(t testing.TB, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Getuid() != 0 {
			do()
			return
		}
		runtime.LockOSThread() // the thread ends with the goroutine
		const nobody = 65534
		if err := unix.Setfsuid(nobody); err != nil {
			t.Error(err)
			return
		}
		do()
	}()
	<-done
}
