package main

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/collector"
	"casgate/cas/scrubber"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/providers/replicator"
)

// TestMain lets the test binary be cas itself where it is called by that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "cas" {
		setHooks()
		main()
	}
	castest.Overlap()
	os.Exit(m.Run())
}

// The variables by which a test asks a process of its own for hooks.
const (
	killAtVariable = "CAS_TEST_KILL_AT" // a replicator.Step, a collector.Step, a scrubber.Step or a reindexStep
	leaseVariable  = "CAS_TEST_LEASE"
	probeVariable  = "CAS_TEST_PROBE"

	silenceVariable = "CAS_TEST_SILENCE" // in place of terminal.Silence
)

func setHooks() {
	if lease, err := time.ParseDuration(os.Getenv(leaseVariable)); err == nil {
		hooks.lease, hooks.pollInterval = lease, lease/10
	}
	if probe, err := time.ParseDuration(os.Getenv(probeVariable)); err == nil {
		hooks.probeInterval = probe
	}
	if silence, err := time.ParseDuration(os.Getenv(silenceVariable)); err == nil {
		terminal.Silence = silence
	}
	setBroken(os.Getenv(brokenVariable))
	if step := os.Getenv(killAtVariable); step != "" {
		at := func(s string) {
			if s == step {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // until it strikes
			}
		}
		hooks.onStep = func(s replicator.Step) { at(string(s)) }
		hooks.onCollectorStep = func(s collector.Step, _ cas.ObjectRef) { at(string(s)) }
		hooks.onScrubStep = func(s scrubber.Step, _ cas.ObjectRef) { at(string(s)) }
		hooks.onReindexStep = func(s reindexStep) { at(string(s)) }
	}
}

func TestVersionAndUsageExitCodes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"version"}, exit.OK},
		{[]string{"--help"}, exit.OK},
		{nil, exit.OK},
		{[]string{"nonsense"}, exit.Usage},
		{[]string{"serve", "--no-such-flag"}, exit.Usage},
		{[]string{"serve", "--max-blob-size=6GiB", "--data-dir=" + t.TempDir(), "--listen=127.0.0.1:0", "--admin-listen="}, exit.Usage},
		{[]string{"serve", "--max-blob-size=lots"}, exit.Usage},
		{[]string{"doctor", "--deep=-1", "--data-dir=" + t.TempDir(), "--listen=127.0.0.1:0", "--admin-listen="}, exit.Usage},
		{[]string{"serve", "--auth=none", "--listen=0.0.0.0:0", "--admin-listen=", "--data-dir=" + t.TempDir()}, exit.Usage},
	} {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		if code := run(context.Background(), tt.args, terminal.Streams{In: null, Out: null, Err: null}); code != tt.code {
			t.Errorf("cas %q exits with %d, want %d", tt.args, code, tt.code)
		}
	}
}

// If the description of the providers can't be read, their variables are no typing errors.
func TestVariablesOfProvidersThatCantBeRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "providers.json")
	if err := os.WriteFile(file, []byte(`[{"name": "lim",`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := settings.Providers{DescribedProviders: settings.DescribedProviders{ProvidersFile: file}}
	if unknown := unknownVariables([]string{"CAS_LIM_API_KEY=key", "CAS_LIM_PER_MINUTE=3", "CAS_LISTNE=:80"}, c); !slices.Equal(unknown, []string{"CAS_LISTNE"}) {
		t.Errorf("unknown are %q", unknown)
	}
}

// The doctor knows every setting. Otherwise it would report one as a typing error.
func TestDoctorKnowsEverySetting(t *testing.T) {
	known := variables(settings.Providers{})
	var look func(v reflect.Type)
	look = func(v reflect.Type) {
		if v.Kind() != reflect.Struct {
			return
		}
		for i := range v.NumField() {
			f := v.Field(i)
			for _, name := range []string{f.Tag.Get("env"), f.Tag.Get("secret")} {
				if name != "" && !known[name] {
					t.Errorf("%s is not among the doctor's settings", name)
				}
			}
			look(f.Type)
		}
	}
	look(reflect.TypeFor[cli]())
}
