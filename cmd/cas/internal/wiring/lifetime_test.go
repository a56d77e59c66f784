package wiring

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/settings"
)

// TestSettlingSetting: CAS_<NAME>_SETTLING reaches all purposes, and a wrong one is an
// error that names it.
func TestSettlingSetting(t *testing.T) {
	t.Setenv("CAS_DEEPSEEK_API_KEY", "sk-0123456789")
	for text, want := range map[string][]time.Duration{
		"": {5 * time.Minute, 5 * time.Minute, 20 * time.Second}, "1m30s": {90 * time.Second, 90 * time.Second, 90 * time.Second},
	} {
		t.Setenv("CAS_DEEPSEEK_SETTLING", text)
		all, err := openAccounts(settings.Providers{}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range all.open[0].adapter.Describe().Purposes {
			if p.Settling() != want[i] {
				t.Errorf("%q: %s settles in %v; want %v", text, p.Name, p.Settling(), want[i])
			}
		}
	}
	t.Setenv("CAS_DEEPSEEK_SETTLING", "soon")
	if _, err := openAccounts(settings.Providers{}, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "CAS_DEEPSEEK_SETTLING") {
		t.Errorf("got %v; want an error that names the setting", err)
	}
}

// TestLifetimeSetting: CAS_<NAME>_LIFETIME reaches the adapter, and a wrong one is an
// error that names it.
func TestLifetimeSetting(t *testing.T) {
	t.Setenv("CAS_ANTHROPIC_API_KEY", "sk-ant-0123456789")
	for text, want := range map[string]time.Duration{"": 0, "720h": 720 * time.Hour} {
		t.Setenv("CAS_ANTHROPIC_LIFETIME", text)
		all, err := openAccounts(settings.Providers{}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		if len(all.open) != 1 || all.open[0].settings.name != "anthropic" {
			t.Fatalf("opened %+v; want anthropic alone", all.open)
		}
		if got := all.open[0].adapter.Describe().Purposes[0].Lifetime(); got != want {
			t.Errorf("%q: files live %s; want %s", text, got, want)
		}
	}
	for _, text := range []string{"30x", "0s", "-1h", "720"} {
		t.Setenv("CAS_ANTHROPIC_LIFETIME", text)
		if _, err := openAccounts(settings.Providers{}, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "CAS_ANTHROPIC_LIFETIME") {
			t.Errorf("%q: got %v; want an error that names the setting", text, err)
		}
	}
	t.Setenv("CAS_ANTHROPIC_LIFETIME", "")
	t.Setenv("CAS_KIMI_API_KEY", "sk-0123456789")
	t.Setenv("CAS_KIMI_LIFETIME", "720h")
	if _, err := openAccounts(settings.Providers{}, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "CAS_KIMI_LIFETIME") {
		t.Errorf("got %v; want an error, since Kimi takes no lifetime", err)
	}
}

// TestTakersOfSettings: the providers that the reference names take a lifetime, and no other
// does.
func TestTakersOfSettings(t *testing.T) {
	var takers []string
	for _, s := range ProviderSettings() {
		if s.Name == "LIFETIME" {
			takers = s.Takers
		}
	}
	for _, name := range ProviderNames() {
		t.Run(name, func(t *testing.T) {
			t.Setenv(ProviderVariable(name, "API_KEY"), "sk-0123456789")
			t.Setenv(ProviderVariable(name, "LIFETIME"), "720h")
			_, err := openAccounts(settings.Providers{}, zerolog.Nop())
			if taken := err == nil; taken != slices.Contains(takers, name) {
				t.Errorf("taken: %t, and the reference names %v: %v", taken, takers, err)
			}
		})
	}
}
