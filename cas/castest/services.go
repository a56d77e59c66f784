package castest

import (
	"os"
	"testing"
)

// Service returns the environment variable that names a real service for tests,
// such as CAS_TEST_DATABASE_URL. Where it is not set the test is skipped, or
// fails where CAS_TEST_DISALLOW_SKIP=1 says that the service has to be there.
// `make test` starts the services and sets the variables.
func Service(t testing.TB, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value != "" {
		return value
	}
	if os.Getenv("CAS_TEST_DISALLOW_SKIP") == "1" {
		t.Fatalf("%s is not set, and CAS_TEST_DISALLOW_SKIP=1 forbids to skip", variable)
	}
	t.Skipf("%s is not set; run `make test`, which starts the services", variable)
	return ""
}
