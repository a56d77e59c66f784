package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if gatewayFolder != "" {
		if err := os.RemoveAll(gatewayFolder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// gatewayFolder has the gateway of all tests, once it is built.
var gatewayFolder string

var builtGateway = sync.OnceValues(func() (string, error) {
	var err error
	if gatewayFolder, err = campaignFolder(""); err != nil {
		return "", err
	}
	// Not a test's context: the other tests need the gateway, too.
	return buildGateway(context.Background(), gatewayFolder)
})

// testCampaign runs a campaign. It is too slow for the edit loop.
func testCampaign(t *testing.T, c config) *report {
	t.Helper()
	castest.Service(t, s3test.EndpointVariable) // where there is a store, there is its program
	c.services = services{castest.Service(t, "CAS_TEST_POSTGRES_BIN"), castest.Service(t, "CAS_TEST_MINIO_BINARY")}
	if castest.Thorough(1, 0) == 0 {
		t.Skip("a campaign takes a minute; CAS_TEST_THOROUGH=1 runs it")
	}
	var err error
	if c.gateway, err = builtGateway(); err != nil {
		t.Fatal(err)
	}
	if c.dir, err = campaignFolder(""); err != nil { // Postgres's user can't enter t.TempDir()
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(c.dir) })
	c.seed = rand.Uint64()
	r, err := runCampaign(t.Context(), c)
	if err != nil {
		t.Fatalf("seed %d: %v", c.seed, err)
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

// brokenSteps says how a campaign meets each step that cmd/cas/broken_test.go can break.
var brokenSteps = map[string]struct {
	settings []string
	focus    focus
}{
	"upload": {focus: focus{
		promises: []string{"history", "whole"},
		requests: []request{{1, (*client).putThenKill}},
		answers:  5,
	}},
	// The grace is longer than it takes to put, delete and put on a busy machine.
	"rescue": {settings: []string{"CAS_GC_GRACE=5s"}, focus: focus{
		promises: []string{"history"},
		requests: []request{{1, inTurn((*client).put, (*client).delete, (*client).put, (*client).readBlob)}},
		answers:  200,
	}},
	"collect": {settings: []string{"CAS_GC_GRACE=0", "CAS_GC_INTERVAL=20ms"}, focus: focus{
		promises: []string{"history", "whole"},
		requests: []request{{1, inTurn((*client).put, (*client).delete, (*client).put)}},
		answers:  200,
		settling: 2 * time.Second, // a hasty collection has ended
	}},
	"ensure": {focus: focus{
		promises: []string{"no duplicates", "no unknown files"},
		requests: []request{{1, inTurn((*client).put, (*client).ensure)}},
		faults:   []habit{{kind: loseReplies, targets: len(providerNames), every: 300 * time.Millisecond, shortest: 2 * time.Second, longest: 6 * time.Second}},
		answers:  100,
	}},
	"delete everywhere": {focus: focus{
		promises: []string{"deleted everywhere", "deleted"},
		requests: []request{{1, inTurn((*client).put, (*client).ensure, (*client).deleteEverywhere)}},
		answers:  60,
	}},
}

// mostSeeds is how many campaigns may miss a broken step. One is as good as certain to
// find it.
const mostSeeds = 5

// A step that is done wrong is noticed.
func TestCampaignFindsBrokenSteps(t *testing.T) {
	for step, tt := range brokenSteps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			for range mostSeeds {
				r := testCampaign(t, config{focus: &tt.focus, settings: append(tt.settings, "CAS_TEST_BROKEN="+step)})
				t.Logf("%v", r)
				if slices.ContainsFunc(r.findings, tt.focus.isMeant) {
					return
				}
			}
			t.Errorf("%d campaigns did not notice it", mostSeeds)
		})
	}
}
