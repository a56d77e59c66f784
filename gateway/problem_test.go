package gateway

import (
	"slices"
	"testing"
	"time"

	"casgate/gateway/api"
	"casgate/providers"
)

func TestParsePrefer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]preference{
		"":                                    {},
		"respond-async":                       {async: true},
		"Respond-Async":                       {async: true},
		"respond-async; x=1":                  {async: true},
		"respond-async=no":                    {},
		"wait=10":                             {hasWait: true, wait: 10 * time.Second},
		"wait = 10 ; y":                       {hasWait: true, wait: 10 * time.Second},
		`wait="10"`:                           {hasWait: true, wait: 10 * time.Second},
		"wait=0":                              {hasWait: true},
		"wait=10, wait=20":                    {hasWait: true, wait: 10 * time.Second},
		"wait=x, wait=20":                     {hasWait: true, wait: 20 * time.Second},
		"respond-async, wait=3":               {async: true, hasWait: true, wait: 3 * time.Second},
		"wait=3600":                           {hasWait: true, wait: maxWait},
		"wait=99999999999999999999":           {hasWait: true, wait: maxWait},
		"wait=-1":                             {},
		"wait=+1":                             {},
		"wait=1.5":                            {},
		"wait":                                {},
		"wait=":                               {},
		`foo="respond-async, wait=1"`:         {},
		`foo="a\", respond-async", wait=2`:    {hasWait: true, wait: 2 * time.Second},
		`foo="unclosed, respond-async`:        {},
		",,respond-async,,":                   {async: true},
		"return=minimal, handling=lenient":    {},
		"respond-asynchronously, awaiting=10": {},
	} {
		if got := parsePrefer([]string{text}); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := parsePrefer([]string{"wait=1", "respond-async", "wait=2"}); got != (preference{async: true, hasWait: true, wait: time.Second}) {
		t.Errorf("several lines: %+v", got)
	}
}

func FuzzParsePrefer(f *testing.F) {
	f.Add(`respond-async, wait=10; x="a,b"`)
	f.Add(`foo="\`)
	f.Add(",;=")
	f.Fuzz(func(t *testing.T, text string) {
		p := parsePrefer([]string{text})
		if p.wait < 0 || p.wait > maxWait || p.wait != 0 && !p.hasWait {
			t.Errorf("%+v", p)
		}
		rest := 0
		for element := range listElements(text) {
			rest += len(element) + 1
		}
		if rest > len(text)+1 {
			t.Errorf("the elements are longer than the list")
		}
	})
}

func TestRestingCopiesSayWhy(t *testing.T) {
	t.Parallel()
	refusal := &providers.Error{Kind: providers.KindPermanent, Code: "content_filter", RetryAfter: time.Hour}
	for _, state := range []providers.State{
		providers.StatePending, providers.StateUploading, providers.StateProcessing, providers.StateReady, providers.StateFailed,
		providers.StateLost, providers.StateEvicted, providers.StateDeleting, providers.StateDeleted,
	} {
		o := apiOperation("id", providers.Copy{State: state, Error: refusal})
		if !slices.Contains([]string{api.OperationPending, api.OperationRunning, api.OperationSucceeded, api.OperationFailed}, o.Status) {
			t.Errorf("%s: %+v", state, o)
		}
		if hasError := o.Status != api.OperationSucceeded; hasError != (o.Error != nil) {
			t.Errorf("%s: %s with the error %+v", state, o.Status, o.Error)
		}
	}
}

func TestHealthText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	refused := &providers.Error{Kind: providers.KindAuth}
	for want, h := range map[string]providers.Health{
		"ok":                               {Available: true, Breaker: providers.BreakerClosed, LastCheck: at},
		"the key is refused":               {Breaker: providers.BreakerClosed, LastError: refused},
		"unavailable":                      {Breaker: providers.BreakerClosed},
		"being tried again after failures": {Available: true, Breaker: providers.BreakerHalfOpen},
		"breaker open":                     {Breaker: providers.BreakerOpen},
		"breaker open, last checked 2026-11-21T12:00:00Z, tried again in 3 s": {Breaker: providers.BreakerOpen, LastCheck: at, RetryAfter: 2100 * time.Millisecond},
	} {
		if got := healthText(h); got != want {
			t.Errorf("%+v: %q, want %q", h, got, want)
		}
	}
}
