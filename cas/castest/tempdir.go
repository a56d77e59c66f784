package castest

import "os"

// The folders of tests lie in CAS_TEST_TMPDIR, which scripts/services sets to a file system
// in memory: no test cuts the power, and on a disk most of the suite's time is fsync's. It is
// not TMPDIR itself, for that would decide about go's own work and benchmarks, too.
func init() {
	dir := os.Getenv("CAS_TEST_TMPDIR")
	if dir == "" {
		return
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		panic(err) // neither the name nor a value from the environment holds a NUL
	}
}
