package main

import (
	"testing"

	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
	"casgate/index/pgindex/pgtest"
)

// The demonstration runs to its end, and every count is right.
func TestExample(t *testing.T) {
	castest.Slow(t) // it builds the program
	castest.Service(t, pgtest.DatabaseVariable)
	castest.Service(t, s3test.EndpointVariable)
	if err := run(t.Context(), 1000, false); err != nil {
		t.Error(err)
	}
}

func TestExampleWithoutServices(t *testing.T) {
	t.Setenv("CAS_TEST_DATABASE_URL", "")
	if err := run(t.Context(), 10, false); err == nil {
		t.Error("it ran, on nothing")
	}
	if err := run(t.Context(), 0, false); err == nil {
		t.Error("it took 0 rows")
	}
}
