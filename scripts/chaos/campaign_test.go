package main

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
)

// testTime is how long a test makes faults. A campaign is too slow for the edit loop.
var testTime = time.Duration(castest.Thorough(20, 0)) * time.Second

// testCampaign runs a short campaign.
func testCampaign(t *testing.T, settings ...string) *report {
	t.Helper()
	castest.Service(t, s3test.EndpointVariable) // where there is a store, there is its program
	c := config{
		seed: rand.Uint64(), time: testTime, settings: settings,
		services: services{castest.Service(t, "CAS_TEST_POSTGRES_BIN"), castest.Service(t, "CAS_TEST_MINIO_BINARY")},
	}
	if testTime == 0 {
		t.Skip("a campaign takes half a minute; CAS_TEST_THOROUGH=1 runs it")
	}
	var err error
	if c.dir, err = campaignFolder(""); err != nil { // Postgres's user can't enter t.TempDir()
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(c.dir) })
	if c.gateway, err = buildGateway(t.Context(), c.dir); err != nil {
		t.Fatal(err)
	}
	r, err := runCampaign(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCampaign(t *testing.T) {
	r := testCampaign(t)
	if len(r.findings) > 0 {
		t.Errorf("%v", r)
	}
	if r.figures["kill gateway"] == 0 || r.figures["put done"] == 0 || r.figures["read present"] == 0 {
		t.Errorf("the campaign shows little: %v", r)
	}
}
