package problem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// Clients get the same answer however often an error was wrapped, and texts that are
// not meant for them stay in the log.
func TestEveryCodeHasAKind(t *testing.T) {
	t.Parallel()
	for _, code := range Codes() {
		r := rows[code]
		if r.status < 400 || r.title == "" {
			t.Errorf("%s: %+v", code, r)
		}
		for _, err := range append(r.causes, r.sentinel) {
			if err == nil {
				continue
			}
			d := Of(fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", err)), "id")
			if d.Code != code || d.Status != r.status || d.Title != r.title || d.OperationID != "id" || d.Retryable != (r.retryAfter > 0) {
				t.Errorf("%v became %+v, want %s", err, d, code)
			}
			if hidden := !strings.Contains(d.Detail, "inner"); d.Detail == "" || hidden != (r.advice != "") {
				t.Errorf("%s: detail %q", code, d.Detail)
			}
		}
	}
	if d := Of(errors.New("password=hunter2"), "id"); d.Status != 500 || strings.Contains(d.Detail, "hunter2") {
		t.Errorf("an unknown error became %+v", d)
	}
}

// A full bucket is told from a full disk, in the store's own words.
func TestDetailOfAFullStore(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("%w: put key at secret.example: %w", &cas.StoreFull{Reason: "QuotaExceeded: your plan allows 10 GB"}, io.EOF)
	d := Of(err, "id")
	if d.Code != NoSpace || !strings.Contains(d.Detail, `object store has no room. It says: "QuotaExceeded: your plan allows 10 GB"`) || strings.Contains(d.Detail, "secret") {
		t.Errorf("%+v", d)
	}
	if d := Of(fmt.Errorf("%w: write /secret", cas.ErrNoSpace), "id"); d.Code != NoSpace || strings.Contains(d.Detail, "says") {
		t.Errorf("a full disk: %+v", d)
	}
}

func TestErrorsHaveTheirOwnCodeAndText(t *testing.T) {
	t.Parallel()
	own := fmt.Errorf("wrapped: %w", WithParam("purpose", New(Forbidden, "not with this token")))
	if d := Of(own, "id"); d.Code != Forbidden || d.Detail != "not with this token" || d.Param != "purpose" || d.Status != 403 {
		t.Errorf("%+v", d)
	}
	if !errors.Is(own, Forbidden) || errors.Is(own, NotFound) {
		t.Errorf("%v matches other codes than its own", own)
	}
	field := &cas.InvalidField{Field: "name", Problem: "is too long"}
	if d := Of(field, "id"); d.Code != InvalidRequest || d.Param != "filename" || d.Detail != "filename is too long" {
		t.Errorf("%+v", d)
	}
	if err := WithParam("purpose", nil); err != nil {
		t.Errorf("a parameter made an error of nil: %v", err)
	}
}

func TestWhatACodeMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code   Code
		target error
		want   bool
	}{
		{BlobInUse, BlobInUse, true},
		{BlobInUse, cas.ErrBlobInUse, true},
		{BlobInUse, BlobNotFound, false},
		{BlobInUse, cas.ErrBlobNotFound, false},
		{Overloaded, cas.ErrUploadRaced, false}, // it may have been another cause
		{Overloaded, nil, false},
		{"of_the_future", Code("of_the_future"), true},
	} {
		if got := tt.code.Matches(tt.target); got != tt.want {
			t.Errorf("%s matches %v: %t", tt.code, tt.target, got)
		}
	}
}

func TestStatusWithoutBody(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]Code{400: InvalidRequest, 401: Unauthenticated, 403: Forbidden, 404: BlobNotFound, 503: "", 200: ""} {
		if got := OfBodyless(status); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

func TestProblemsOfProviders(t *testing.T) {
	t.Parallel()
	hint := "do something else"
	type want struct {
		code       Code
		status     int
		retryAfter int // 0: not to be tried again
	}
	used := map[Code]bool{}
	for name, tt := range map[string]struct {
		err  providers.Error
		want want
	}{
		"refused":             {providers.Error{Kind: providers.KindPermanent, Status: 400, Code: "content_filter"}, want{ProviderRejected, 422, 0}},
		"refused, and later":  {providers.Error{Kind: providers.KindPermanent, RetryAfter: time.Minute}, want{ProviderRejected, 422, 0}},
		"no text":             {providers.Error{Kind: providers.KindPermanent, Status: 400, Code: providers.CodeNoText}, want{NoText, 422, 0}},
		"full":                {providers.Error{Kind: providers.KindQuota, TooMany: true}, want{ProviderQuota, 507, 60}},
		"full for a while":    {providers.Error{Kind: providers.KindQuota, TooMany: true, RetryAfter: 90 * time.Second}, want{ProviderQuota, 507, 90}},
		"unpaid":              {providers.Error{Kind: providers.KindQuota, Status: 429, RetryAfter: time.Second}, want{ProviderQuota, 507, 0}},
		"not configured":      {providers.Error{Kind: providers.KindAuth, Code: providers.CodeNotConfigured}, want{ProviderUnavailable, 503, 0}},
		"key refused":         {providers.Error{Kind: providers.KindAuth, Status: 401, RetryAfter: time.Second}, want{ProviderFailed, 502, 0}},
		"breaker open":        {providers.Error{Kind: providers.KindTransient, Code: providers.CodeUnavailable, RetryAfter: 9500 * time.Millisecond}, want{ProviderUnavailable, 503, 10}},
		"breaker, no time":    {providers.Error{Kind: providers.KindTransient, Code: providers.CodeUnavailable}, want{ProviderUnavailable, 503, 2}},
		"timed out":           {providers.Error{Kind: providers.KindTransient, Code: providers.CodeTimeout}, want{ProviderTimeout, 504, 2}},
		"reply timed out":     {providers.Error{Kind: providers.KindUnknown, Code: providers.CodeTimeout}, want{ProviderTimeout, 504, 2}},
		"rate limited":        {providers.Error{Kind: providers.KindTransient, TooMany: true, RetryAfter: time.Millisecond}, want{ProviderRateLimited, 429, 1}},
		"rate, by the status": {providers.Error{Kind: providers.KindTransient, Status: 429, Code: "engine_overloaded_error"}, want{ProviderRateLimited, 429, 1}},
		"out of order":        {providers.Error{Kind: providers.KindTransient, Status: 500}, want{ProviderFailed, 502, 2}},
		"no connection":       {providers.Error{Kind: providers.KindTransient, Code: providers.CodeConnection}, want{ProviderFailed, 502, 2}},
		"reply lost":          {providers.Error{Kind: providers.KindUnknown, Code: providers.CodeBadAnswer}, want{ProviderFailed, 502, 2}},
		"nonsense for ever":   {providers.Error{Kind: providers.KindPermanent, Code: providers.CodeBadAnswer, RetryAfter: time.Second}, want{ProviderFailed, 502, 0}},
		"unknown 429":         {providers.Error{Kind: providers.KindUnknown, Status: 429}, want{ProviderFailed, 502, 2}},
		"file lost":           {providers.Error{Kind: providers.KindLost, RetryAfter: time.Hour}, want{ProviderFailed, 502, 3600}},
		"own store, earlier":  {providers.Error{Kind: providers.KindTransient, Code: providers.CodeStoreUnavailable}, want{StoreUnavailable, 503, 2}},
		"own index, earlier":  {providers.Error{Kind: providers.KindTransient, Code: providers.CodeIndexUnavailable}, want{IndexUnavailable, 503, 2}},
		"own bytes, earlier":  {providers.Error{Kind: providers.KindTransient, Code: providers.CodeObjectCorrupt}, want{ObjectCorrupt, 502, 0}},
		"own blob, earlier":   {providers.Error{Kind: providers.KindPermanent, Code: providers.CodeBlobNotFound}, want{BlobNotFound, 404, 0}},
		"own bytes corrupt":   {providers.Error{Kind: providers.KindUnknown, Cause: fmt.Errorf("send: %w", cas.ErrObjectCorrupt)}, want{ObjectCorrupt, 502, 0}},
		"own bytes differ":    {providers.Error{Kind: providers.KindUnknown, Cause: fmt.Errorf("send: %w", cas.ErrDigestMismatch)}, want{ObjectCorrupt, 502, 0}},
		"own bytes missing":   {providers.Error{Kind: providers.KindTransient, Cause: cas.ErrObjectMissing}, want{ObjectMissing, 502, 0}},
		"own store down":      {providers.Error{Kind: providers.KindTransient, Cause: cas.ErrStoreUnavailable}, want{StoreUnavailable, 503, 2}},
		"own index down":      {providers.Error{Kind: providers.KindTransient, Cause: cas.ErrIndexUnavailable}, want{IndexUnavailable, 503, 2}},
	} {
		e := tt.err
		e.Provider, e.Op, e.Message, e.Hint = "kimi", providers.OpUpload, "its words", hint
		p := Of(fmt.Errorf("copy: %w", &e), "id")
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
	for _, row := range providerRows {
		if !used[row.result] {
			t.Errorf("no test ends in %s", row.result)
		}
	}
}

func TestProblemsOfCopies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		code   Code
		status int
	}{
		{providers.ErrProviderNotFound, ProviderNotFound, 404},
		{ledger.ErrNotFound, CopyNotFound, 404},
		{providers.ErrCopyInProgress, CopyInProgress, 409},
		{providers.ErrCopyDeleted, CopyDeleted, 409},
		{providers.ErrNoReference, ProviderRejected, 422},
		{context.Canceled, Overloaded, 503}, // the work ended, and its client waits
		{io.ErrUnexpectedEOF, Internal, 500},
	} {
		p := Of(fmt.Errorf("about a secret: %w", tt.err), "id")
		if p.Code != tt.code || p.Status != tt.status || p.Title == "" || p.Detail == "" {
			t.Errorf("%v: %+v", tt.err, p)
		}
	}
}

// An error of our own at an upload has one code when it happens, and when the ledger
// remembers it.
func TestGatewayFaultsKeepTheirCode(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{
		cas.ErrObjectCorrupt, cas.ErrDigestMismatch, cas.ErrObjectMissing, cas.ErrBlobNotFound, cas.ErrStoreUnavailable, cas.ErrIndexUnavailable,
	} {
		code, ok := providers.GatewayFault(cause)
		if !ok {
			t.Fatalf("%v is no fault of the gateway", cause)
		}
		now := Of(&providers.Error{Kind: providers.KindUnknown, Cause: cause}, "")
		later := Of(&providers.Error{Kind: providers.KindTransient, Code: code}, "")
		if now.Code != Code(code) || later.Code != Code(code) {
			t.Errorf("%v is %s at first and %s later, want %s", cause, now.Code, later.Code, code)
		}
	}
}

// An upload whose object is stored, but whose commit failed, is told so.
func TestUnconfirmedUpload(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{cas.ErrIndexUnavailable, cas.ErrNoSpace} {
		d := Of(fmt.Errorf("%w: %w: inner", cas.ErrUnconfirmed, cause), "")
		if !strings.HasPrefix(d.Detail, "The bytes are stored, but the index did not confirm the blob") || strings.Contains(d.Detail, "inner") {
			t.Errorf("%v: %+v", cause, d)
		}
		if plain := Of(cause, ""); plain.Code != d.Code || plain.Status != d.Status || plain.Detail == d.Detail {
			t.Errorf("%v: %+v, and for an upload %+v", cause, plain, d)
		}
	}
}
