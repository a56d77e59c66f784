package gateway

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/providers"
)

func TestProblemsOfProviders(t *testing.T) {
	t.Parallel()
	hint := "do something else"
	type want struct {
		code       api.Code
		status     int
		retryAfter int // 0: not to be tried again
	}
	used := map[api.Code]bool{}
	for name, tt := range map[string]struct {
		err  providers.Error
		want want
	}{
		"refused":             {providers.Error{Kind: providers.KindPermanent, Status: 400, Code: "content_filter"}, want{api.CodeProviderRejected, 422, 0}},
		"refused, and later":  {providers.Error{Kind: providers.KindPermanent, RetryAfter: time.Minute}, want{api.CodeProviderRejected, 422, 0}},
		"full":                {providers.Error{Kind: providers.KindQuota, TooMany: true}, want{api.CodeProviderQuota, 507, 60}},
		"full for a while":    {providers.Error{Kind: providers.KindQuota, TooMany: true, RetryAfter: 90 * time.Second}, want{api.CodeProviderQuota, 507, 90}},
		"unpaid":              {providers.Error{Kind: providers.KindQuota, Status: 429, RetryAfter: time.Second}, want{api.CodeProviderQuota, 507, 0}},
		"not configured":      {providers.Error{Kind: providers.KindAuth, Code: providers.CodeNotConfigured}, want{api.CodeProviderUnavailable, 503, 0}},
		"key refused":         {providers.Error{Kind: providers.KindAuth, Status: 401, RetryAfter: time.Second}, want{api.CodeProviderFailed, 502, 0}},
		"breaker open":        {providers.Error{Kind: providers.KindTransient, Code: providers.CodeUnavailable, RetryAfter: 9500 * time.Millisecond}, want{api.CodeProviderUnavailable, 503, 10}},
		"breaker, no time":    {providers.Error{Kind: providers.KindTransient, Code: providers.CodeUnavailable}, want{api.CodeProviderUnavailable, 503, 2}},
		"timed out":           {providers.Error{Kind: providers.KindTransient, Code: providers.CodeTimeout}, want{api.CodeProviderTimeout, 504, 2}},
		"reply timed out":     {providers.Error{Kind: providers.KindUnknown, Code: providers.CodeTimeout}, want{api.CodeProviderTimeout, 504, 2}},
		"rate limited":        {providers.Error{Kind: providers.KindTransient, TooMany: true, RetryAfter: time.Millisecond}, want{api.CodeProviderRateLimited, 429, 1}},
		"rate, by the status": {providers.Error{Kind: providers.KindTransient, Status: 429, Code: "engine_overloaded_error"}, want{api.CodeProviderRateLimited, 429, 1}},
		"out of order":        {providers.Error{Kind: providers.KindTransient, Status: 500}, want{api.CodeProviderFailed, 502, 2}},
		"no connection":       {providers.Error{Kind: providers.KindTransient, Code: providers.CodeConnection}, want{api.CodeProviderFailed, 502, 2}},
		"reply lost":          {providers.Error{Kind: providers.KindUnknown, Code: providers.CodeBadAnswer}, want{api.CodeProviderFailed, 502, 2}},
		"unknown 429":         {providers.Error{Kind: providers.KindUnknown, Status: 429}, want{api.CodeProviderFailed, 502, 2}},
		"file lost":           {providers.Error{Kind: providers.KindLost, RetryAfter: time.Hour}, want{api.CodeProviderFailed, 502, 3600}},
		"own store, earlier":  {providers.Error{Kind: providers.KindTransient, Code: providers.CodeStoreUnavailable}, want{api.CodeStoreUnavailable, 503, 2}},
		"own bytes, earlier":  {providers.Error{Kind: providers.KindTransient, Code: providers.CodeObjectCorrupt}, want{api.CodeObjectCorrupt, 502, 0}},
		"own blob, earlier":   {providers.Error{Kind: providers.KindPermanent, Code: providers.CodeBlobNotFound}, want{api.CodeBlobNotFound, 404, 0}},
		"own bytes corrupt":   {providers.Error{Kind: providers.KindUnknown, Cause: fmt.Errorf("send: %w", cas.ErrObjectCorrupt)}, want{api.CodeObjectCorrupt, 502, 0}},
		"own bytes missing":   {providers.Error{Kind: providers.KindTransient, Cause: cas.ErrObjectMissing}, want{api.CodeObjectMissing, 502, 0}},
		"own store down":      {providers.Error{Kind: providers.KindTransient, Cause: cas.ErrStoreUnavailable}, want{api.CodeStoreUnavailable, 503, 2}},
		"own index down":      {providers.Error{Kind: providers.KindTransient, Cause: cas.ErrIndexUnavailable}, want{api.CodeIndexUnavailable, 503, 2}},
	} {
		e := tt.err
		e.Provider, e.Op, e.Message, e.Hint = "kimi", providers.OpUpload, "its words", hint
		p := problemOf(fmt.Errorf("copy: %w", &e), "id")
		if got := (want{p.Code, p.Status, p.RetryAfter}); got != tt.want || p.Retryable != (tt.want.retryAfter > 0) {
			t.Errorf("%s: %+v, want %+v", name, p, tt.want)
		}
		used[p.Code] = true
		if e.Cause != nil {
			if p.Provider != "" {
				t.Errorf("%s: our own fault is told as the provider's: %+v", name, p)
			}
			continue
		}
		if p.Provider != "kimi" || p.ProviderCode != e.Code || p.ProviderMessage != "its words" || p.Detail != e.Error() {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for _, row := range providerCodes {
		if !used[row.code] {
			t.Errorf("no test ends in %s", row.code)
		}
	}
}

func TestProblemsOfCopies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		code   api.Code
		status int
	}{
		{providers.ErrProviderNotFound, api.CodeProviderNotFound, 404},
		{providers.ErrCopyNotFound, api.CodeCopyNotFound, 404},
		{providers.ErrCopyInProgress, api.CodeCopyInProgress, 409},
		{providers.ErrNoReference, api.CodeProviderRejected, 422},
		{context.Canceled, api.CodeOverloaded, 503}, // the work ended, and its client waits
		{io.ErrUnexpectedEOF, api.CodeInternal, 500},
	} {
		p := problemOf(fmt.Errorf("about a secret: %w", tt.err), "id")
		if p.Code != tt.code || p.Status != tt.status || p.Title == "" || p.Detail == "" {
			t.Errorf("%v: %+v", tt.err, p)
		}
	}
	for code, kind := range kinds {
		if kind.code != code || kind.status < 400 || kind.title == "" {
			t.Errorf("%s: %+v", code, kind)
		}
	}
}

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
