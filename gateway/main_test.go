package gateway_test

import (
	"os"
	"testing"

	"casgate/cas/castest"
)

func TestMain(m *testing.M) {
	castest.Overlap()
	os.Exit(m.Run())
}
