package argument

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func TestWaitFlag(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]Wait{
		"":                       {},
		"--wait":                 {Given: true},
		"--wait=30s":             {Given: true, Limit: 30 * time.Second},
		"--no-wait":              {Given: true, Not: true},
		"--no-wait --wait=1m30s": {Given: true, Limit: 90 * time.Second},
		"--wait=1m --no-wait":    {Given: true, Not: true},
	} {
		got, err := parseWait(t, strings.Fields(args)...)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", args, got, err, want)
		}
	}
	for _, args := range []string{"--wait=", "--wait=0s", "--wait=-1s", "--wait=soon", "--wait=true"} {
		if got, err := parseWait(t, args); err == nil {
			t.Errorf("%q is %+v", args, got)
		}
	}
}

func parseWait(t *testing.T, args ...string) (Wait, error) {
	t.Helper()
	var flags struct {
		Wait Wait `negatable:""`
	}
	parser, err := kong.New(&flags, kong.Exit(func(int) { t.Error(errors.New("it exits")) }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return flags.Wait, err
}
