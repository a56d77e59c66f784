package castest

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// Overlap lets more of a package's tests run at the same time than there are CPUs. It is
// for tests that wait for servers and timers more than they compute. Thorough tests
// compute more, so Overlap changes nothing for them. TestMain calls it; -parallel
// overrides it.
func Overlap() {
	if isThorough() {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // the flag is testing's own
	}
}

// Thorough returns the number of repetitions of a slow test: the first number if
// CAS_TEST_THOROUGH=1, which `make test` sets, otherwise the second, for a quick
// `go test` between two edits.
func Thorough(thorough, quick int) int {
	if isThorough() {
		return thorough
	}
	return quick
}

// Steps returns all steps of a protocol where a crash test kills a process, or only the
// one in the middle for a quick `go test` between two edits, see Thorough.
func Steps[T any](all ...T) []T {
	if isThorough() {
		return all
	}
	return all[len(all)/2 : len(all)/2+1]
}

// Slow skips a test that is too slow for a quick `go test` between two edits, see Thorough.
func Slow(t testing.TB) {
	t.Helper()
	if !isThorough() {
		t.Skip("slow; CAS_TEST_THOROUGH=1 runs it")
	}
}

func isThorough() bool { return os.Getenv("CAS_TEST_THOROUGH") == "1" }

// Histories sets the number of checks that rapid makes for each property, see Thorough.
// TestMain of a package with rapid tests calls it; -rapid.checks overrides it.
func Histories(thorough, quick int) {
	if err := flag.Set("rapid.checks", strconv.Itoa(Thorough(thorough, quick))); err != nil {
		panic(err)
	}
}
