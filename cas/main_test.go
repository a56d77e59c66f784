package cas_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes fewer runs of the properties the default, since a run of the
// store's model is dozens of durable writes. -rapid.checks says otherwise.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
