package cas_test

import (
	"os"
	"testing"

	"casgate/cas/castest"
)

// TestMain makes fewer runs of the properties the default, since a run of the
// store's model is dozens of durable writes.
func TestMain(m *testing.M) {
	castest.Histories(30, 10)
	os.Exit(m.Run())
}
