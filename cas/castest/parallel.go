package castest

import (
	"flag"
	"runtime"
	"strconv"
)

// Overlap makes it the default that more of a package's tests run at the same time
// than there are CPUs: for those that wait for servers and timers more than they
// compute. It is to be called by TestMain; -parallel says otherwise.
func Overlap() {
	if err := flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // the flag is testing's own
	}
}
