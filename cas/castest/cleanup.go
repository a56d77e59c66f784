package castest

import "testing"

// Cleanup is t.Cleanup for what keeps much memory, as a gateway with its caches does. The
// testing package keeps the functions of a parallel test, with all that they reach, until
// the last test of the package has ended. Cleanup forgets f after the call.
func Cleanup(t testing.TB, f func()) {
	t.Cleanup(func() {
		f()
		f = nil
	})
}
