package replicator

import (
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// A blob keeps its URL for half a day, at every gateway, and each URL lives a day at
// least.
func TestURLExpiryIsTheEndOfAStep(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for at, want := range map[time.Duration]time.Duration{
		0: 24 * time.Hour, 1: 36 * time.Hour, time.Hour: 36 * time.Hour, 12 * time.Hour: 36 * time.Hour, 12*time.Hour + 1: 48 * time.Hour,
	} {
		now := day.Add(at).In(time.FixedZone("CST", 8*3600))
		if got := urlExpiry(now); got != day.Add(want) {
			t.Errorf("at %v: %v, want %v", now.UTC(), got, day.Add(want))
		}
	}
}

func TestURLsThatNoProviderReaches(t *testing.T) {
	t.Parallel()
	type want struct {
		host string
		from reach
	}
	for address, want := range map[string]want{
		"http://127.0.0.1:8080/v1":       {"127.0.0.1:8080", reachMachine},
		"http://[::1]:8080/v1":           {"[::1]:8080", reachMachine},
		"https://localhost/v1":           {"localhost", reachMachine},
		"https://LocalHost./v1":          {"LocalHost.", reachMachine},
		"http://0.0.0.0:8080/":           {"0.0.0.0:8080", reachMachine},
		"http://169.254.169.254/":        {"169.254.169.254", reachMachine},
		"http://[::ffff:127.0.0.1]/":     {"[::ffff:127.0.0.1]", reachMachine},
		"http://192.168.1.5/":            {"192.168.1.5", reachPrivate},
		"http://10.0.0.1:9000/b":         {"10.0.0.1:9000", reachPrivate},
		"http://100.64.1.1/":             {"100.64.1.1", reachPrivate},
		"http://[fd00::1]/":              {"[fd00::1]", reachPrivate},
		"http://gateway:8080/":           {"gateway:8080", reachPrivate},
		"https://files.corp.internal/":   {"files.corp.internal", reachPrivate},
		"https://example.org/v1":         {"example.org", reachAll},
		"https://8.8.8.8/":               {"8.8.8.8", reachAll},
		"https://[2001:4860:4860::8888]": {"[2001:4860:4860::8888]", reachAll},
	} {
		host, from := reachOf(address)
		if host != want.host || from != want.from {
			t.Errorf("of %s: %q from %d, want %+v", address, host, from, want)
		}
	}
}

// TestOnePictureHasOneURL: the name of a picture's file is no part of its URL. A document's
// is, since a provider may tell its format by it.
func TestOnePictureHasOneURL(t *testing.T) {
	t.Parallel()
	of := func(name, mediaType string) string {
		j := job{request: Request{Name: name}, fileType: providers.FileType{MediaType: mediaType}, blob: cas.Blob{Name: "first", MediaType: mediaType}}
		return j.urlRequest().Name
	}
	for _, mediaType := range []string{"image/png", "video/mp4"} {
		if one, two, none := of("one", mediaType), of("two", mediaType), of("", mediaType); one != "" || two != "" || none != "" {
			t.Errorf("%s: the URLs show %q, %q and %q", mediaType, one, two, none)
		}
	}
	if got := of("one.pdf", "application/pdf"); got != "one.pdf" {
		t.Errorf("a document's URL shows %q", got)
	}
}
