package castest

import (
	"flag"
	"os"
	"runtime"
	"strconv"
)

// Overlap makes it the default that more of a package's tests run at the same time
// than there are CPUs: for those that wait for servers and timers more than they
// compute. Thorough tests compute more, and are left alone. It is to be called by
// TestMain; -parallel says otherwise.
func Overlap() {
	if isThorough() {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // the flag is testing's own
	}
}

// Thorough returns with how much a test is to do what takes long. The first number
// holds where CAS_TEST_THOROUGH=1, as `make test` sets it, and so for each change as
// it lands; the other where somebody waits for `go test` between two edits.
func Thorough(thorough, quick int) int {
	if isThorough() {
		return thorough
	}
	return quick
}

func isThorough() bool { return os.Getenv("CAS_TEST_THOROUGH") == "1" }

// Histories makes it the default that rapid checks each property so many times, see
// Thorough; -rapid.checks says otherwise. It is to be called by TestMain, of a package
// that uses rapid.
func Histories(thorough, quick int) {
	if err := flag.Set("rapid.checks", strconv.Itoa(Thorough(thorough, quick))); err != nil {
		panic(err)
	}
}
