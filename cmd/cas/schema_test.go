package main

import (
	"strings"
	"testing"

	"casgate/index/pgindex/pgtest"
)

// A served gateway does not touch a schema it doesn't know: it says what to run,
// and works once that was done.
func TestServeWantsItsSchema(t *testing.T) {
	t.Parallel()
	settings := []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + pgtest.NewEmpty(t)}
	for _, args := range [][]string{{"serve"}, {"token", "ls"}} {
		out, err := casCommand(t, settings, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "run `cas migrate up`") {
			t.Errorf("cas %q on an empty database: %v, %s", args, err, out)
		}
	}
	for range 2 {
		if out, err := casCommand(t, settings, "migrate", "up").CombinedOutput(); err != nil || !strings.Contains(string(out), "Postgres is at version") {
			t.Fatalf("cas migrate up: %v, %s", err, out)
		}
	}
	p := serveProcess(t, casCommand(t, settings, "serve"))
	if status, body, err := p.request("GET", "/readyz", nil); err != nil || status != 200 {
		t.Errorf("readyz: %d %s, %v", status, body, err)
	}
}
