package main

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
)

// testCampaign runs a campaign. It is too slow for the edit loop.
func testCampaign(t *testing.T, c config) *report {
	t.Helper()
	castest.Service(t, s3test.EndpointVariable) // where there is a store, there is its program
	c.services = services{castest.Service(t, "CAS_TEST_POSTGRES_BIN"), castest.Service(t, "CAS_TEST_MINIO_BINARY")}
	c.seed = rand.Uint64()
	if castest.Thorough(1, 0) == 0 {
		t.Skip("a campaign takes a minute; CAS_TEST_THOROUGH=1 runs it")
	}
	var err error
	if c.dir, err = campaignFolder(""); err != nil { // Postgres's user can't enter t.TempDir()
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(c.dir) })
	if c.gateway == "" {
		if c.gateway, err = buildGateway(t.Context(), c.dir); err != nil {
			t.Fatal(err)
		}
	}
	r, err := runCampaign(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCampaign(t *testing.T) {
	r := testCampaign(t, config{time: 20 * time.Second})
	if len(r.findings) > 0 {
		t.Errorf("%v", r)
	}
	if r.figures["kill gateway"] == 0 || r.figures["put done"] == 0 || r.figures["read present"] == 0 {
		t.Errorf("the campaign shows little: %v", r)
	}
}

// A step that is done wrong is noticed. See cmd/cas/broken_test.go for the steps.
func TestCampaignFindsBrokenSteps(t *testing.T) {
	gateway := ""
	if castest.Thorough(1, 0) == 1 {
		var err error
		if gateway, err = buildGateway(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	for step, tt := range map[string]struct {
		time     time.Duration // at most; what is found at the end only needs no more than a few rounds
		settings []string
		promises []string // one of these is found broken
	}{
		"upload":            {time.Minute, nil, []string{"history", "whole"}},
		"rescue":            {time.Minute, nil, []string{"history"}},
		"collect":           {time.Minute, []string{"CAS_GC_GRACE=0", "CAS_GC_INTERVAL=20ms"}, []string{"history", "whole"}},
		"ensure":            {20 * time.Second, nil, []string{"no duplicates", "no unknown files"}},
		"delete everywhere": {20 * time.Second, nil, []string{"deleted everywhere", "deleted"}},
	} {
		t.Run(step, func(t *testing.T) {
			r := testCampaign(t, config{gateway: gateway, time: tt.time, untilFound: true, settings: append(tt.settings, "CAS_TEST_BROKEN="+step)})
			if !slices.ContainsFunc(r.findings, func(f finding) bool { return slices.Contains(tt.promises, f.promise) }) {
				t.Errorf("the campaign did not notice it: %v", r)
			}
			t.Logf("%v", r)
		})
	}
}
