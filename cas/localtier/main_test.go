package localtier_test

import (
	"os"
	"testing"

	"casgate/cas/castest"
)

// TestMain makes fewer runs of the model the default: each has several starts, which
// are durable.
func TestMain(m *testing.M) {
	castest.Histories(30, 8)
	os.Exit(m.Run())
}
