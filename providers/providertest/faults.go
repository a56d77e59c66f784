package providertest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// testUnknownOutcomes: uploads whose replies get lost or make no sense. Their outcome is
// unknown, and they must not be repeated.
func testUnknownOutcomes(t *testing.T, r *run) {
	for _, fault := range []simulator.Fault{
		{Kind: simulator.Cut, Applied: true}, {Kind: simulator.Cut}, {Kind: simulator.Down},
		{Kind: simulator.HTMLTimeout, Applied: true}, {Kind: simulator.HTMLTimeout},
		{Kind: simulator.NoID, Applied: true}, {Kind: simulator.NoID},
		{Kind: simulator.Truncated, Applied: true}, {Kind: simulator.Truncated},
		{Kind: simulator.Garbage, Applied: true}, {Kind: simulator.Garbage},
	} {
		p := r.listed()
		extension := extensionOf(p)
		c := fitting(extension)
		uploads, requests := r.remote.Uploads(), r.remote.Requests(providers.OpUpload)
		fault.Op, fault.Times = providers.OpUpload, 1
		r.remote.Fail(fault)
		_, err := r.Upload(t.Context(), c.upload(p, "unknown"+extension))
		if err == nil {
			t.Fatalf("%s, applied %t: no error", fault.Kind, fault.Applied)
		}
		e := r.wantError(t, err, providers.OpUpload)
		if e.Kind != providers.KindUnknown {
			t.Errorf("%s, applied %t: %v is of kind %s; want %s", fault.Kind, fault.Applied, err, e.Kind, providers.KindUnknown)
		}
		if fault.Kind == simulator.HTMLTimeout && e.Status != http.StatusGatewayTimeout {
			t.Errorf("%s: status %d", fault.Kind, e.Status)
		}
		if strings.Contains(err.Error(), "<html>") {
			t.Errorf("%s: an HTML page as an error: %v", fault.Kind, err)
		}
		c.wantDone(t)
		if n := r.remote.Requests(providers.OpUpload) - requests; n != 1 {
			t.Errorf("%s: %d requests; an upload must not be repeated", fault.Kind, n)
		}
		if done := r.remote.Uploads() > uploads; done != fault.Applied {
			t.Fatalf("%s: the simulator did it: %t", fault.Kind, done)
		}
	}
}

// testSenselessAnswers: the same for calls that are safe to repeat.
func testSenselessAnswers(t *testing.T, r *run) {
	for _, fault := range []simulator.Fault{{Kind: simulator.Cut}, {Kind: simulator.HTMLTimeout}, {Kind: simulator.NoID}, {Kind: simulator.Truncated}, {Kind: simulator.Garbage}} {
		for op, call := range r.calls(t) {
			if requestOf(op) == providers.OpDownload && fault.Kind != simulator.Cut && fault.Kind != simulator.HTMLTimeout {
				continue // adapters differ in what they take for content
			}
			if r.EmptyObjects && fault.Kind == simulator.NoID && (op == providers.OpDelete || op == providers.OpList) {
				continue // an answer like any other
			}
			fault.Op, fault.Times = requestOf(op), 1
			// net/http opens a new connection for a request that it may repeat, so one cut
			// is not always visible.
			if fault.Kind == simulator.Cut {
				fault.Times = 0
			}
			r.remote.Fail(fault)
			err := call(t.Context())
			r.remote.Clear()
			if err == nil {
				t.Errorf("%s, %s: no error", op, fault.Kind)
				continue
			}
			r.wantError(t, err, op, providers.KindUnknown, providers.KindTransient)
		}
	}
}

func testDeleteAfterLostReply(t *testing.T, r *run) {
	f := r.mustUpload(t, r.listed())
	r.remote.Fail(simulator.Fault{Op: providers.OpDelete, Times: 1, Kind: simulator.HTMLTimeout, Applied: true})
	r.wantError(t, r.Delete(t.Context(), f.ID), providers.OpDelete, providers.KindUnknown, providers.KindTransient)
	err := r.Delete(t.Context(), f.ID)
	if r.DeletesBlindly && err == nil {
		return
	}
	r.wantError(t, err, providers.OpDelete, providers.KindLost)
}

// allCalls returns calls, and Upload of a new file.
func (r *run) allCalls(t *testing.T) map[providers.Op]func(context.Context) error {
	t.Helper()
	calls := r.calls(t)
	p := r.listed()
	calls[providers.OpUpload] = func(ctx context.Context) error {
		c := fitting(extensionOf(p))
		defer c.wantDone(t)
		_, err := r.Upload(ctx, c.upload(p, "another"+extensionOf(p)))
		return err
	}
	return calls
}

// testErrorTable walks the provider's table of errors.
func testErrorTable(t *testing.T, r *run) {
	calls := r.allCalls(t)
	for _, row := range r.Errors {
		op := row.Op
		if calls[op] == nil { // the adapter has no such call
			op = providers.OpDelete
		}
		call := calls[op]
		row.Op = requestOf(op)
		r.remote.Fail(row.Fault(1))
		err := call(t.Context())
		if err == nil {
			t.Errorf("%d %s %q: no error", row.Status, row.Code, row.Message)
			continue
		}
		e := r.wantError(t, err, op)
		r.wantRow(t, row, e)
		if e.Status != row.Status && !r.ErrorsIn200 {
			t.Errorf("%d %s: status %d", row.Status, row.Code, e.Status)
		}
	}
}

func (r *run) wantRow(t *testing.T, row simulator.ErrorRow, e *providers.Error) {
	t.Helper()
	fits := false
	for _, kind := range row.Kinds {
		fits = fits || e.Kind == kind
	}
	if !fits {
		t.Errorf("%d %s %q: kind %s; want one of %v", row.Status, row.Code, row.Message, e.Kind, row.Kinds)
	}
	if want := cmp.Or(row.Means, row.Code); want != "" && e.Code != want {
		t.Errorf("%d %s: code %q; want %q", row.Status, row.Code, e.Code, want)
	}
	if e.Kind == providers.KindQuota && e.TooMany != row.TooMany {
		t.Errorf("%d %s %q: TooMany %t", row.Status, row.Code, row.Message, e.TooMany)
	}
	if e.Message == "" {
		t.Errorf("%d %s: the provider's message got lost", row.Status, row.Code)
	}
	if certain := len(row.Kinds) == 1; row.Status >= http.StatusInternalServerError && e.NotBegun != (certain && e.Kind == providers.KindTransient) {
		t.Errorf("%d %s %q: NotBegun %t", row.Status, row.Code, row.Message, e.NotBegun)
	}
	if e.RetryAfter != row.RetryAfter {
		t.Errorf("%d %s %q: RetryAfter %s; want %s", row.Status, row.Code, row.Message, e.RetryAfter, row.RetryAfter)
	}
}

// testErrorsIn200: an error counts by its code, whatever the status says.
func testErrorsIn200(t *testing.T, r *run) {
	tested := 0
	calls := r.allCalls(t)
	for _, row := range r.Errors {
		if row.Status >= http.StatusInternalServerError || len(row.Kinds) > 1 || row.Code == "" {
			continue // of these code and message say all
		}
		op := row.Op
		if calls[op] == nil { // the adapter has no such call
			op = providers.OpDelete
		}
		row.Op = requestOf(op)
		if row.Status == http.StatusTooManyRequests {
			tested++
		}
		fault := row.Fault(1)
		fault.Kind = simulator.RefuseIn200
		r.remote.Fail(fault)
		err := calls[op](t.Context())
		if err == nil {
			t.Errorf("%d %s %q within 200: no error", row.Status, row.Code, row.Message)
			continue
		}
		r.wantRow(t, row, r.wantError(t, err, op))
	}
	if tested == 0 {
		t.Error("the table has no row for 429 with a code")
	}
}

func testRateLimits(t *testing.T, r *run) {
	for op, call := range r.allCalls(t) {
		r.wantRateLimits(t, op, call)
	}
}

func (r *run) wantRateLimits(t *testing.T, op providers.Op, call func(context.Context) error) {
	t.Helper()
	for _, test := range []struct{ inTheirWay, header, want time.Duration }{
		{0, 0, 0}, {7 * time.Second, 0, 7 * time.Second}, {0, 90 * time.Second, 90 * time.Second}, {0, 26 * time.Hour, 0},
	} {
		fault := r.RateLimited(test.inTheirWay)
		fault.Op, fault.Times = requestOf(op), 1
		if test.header > 0 {
			fault.RetryAfter = test.header
		}
		r.remote.Fail(fault)
		e := r.wantError(t, call(t.Context()), op, providers.KindTransient)
		if !e.TooMany {
			t.Errorf("%s: %v: TooMany isn't set", op, e)
		}
		// Of more than a day an adapter may make less.
		if test.want > 0 && e.RetryAfter != test.want || test.header > 24*time.Hour && (e.RetryAfter <= 0 || e.RetryAfter > test.header) {
			t.Errorf("%s: RetryAfter %s; want that of %+v", op, e.RetryAfter, test)
		}
	}
}

// testSecrets: the provider repeats the credential in all its texts.
func testSecrets(t *testing.T, r *run) {
	if len(r.Secrets) == 0 {
		t.Fatal("the harness names no secrets")
	}
	calls := r.allCalls(t)
	for _, secret := range r.Secrets {
		for _, status := range []int{400, 401, 403, 404, 429, 500} {
			for op, call := range calls {
				if t.Failed() {
					return // one is enough to see
				}
				r.remote.Fail(simulator.Fault{
					Op: requestOf(op), Times: 1, Kind: simulator.Refuse, Status: status, Code: "code_" + secret,
					Message: "the key " + secret + " of 'Bearer " + secret + "' (" + strings.ToUpper(secret) + ") is no good",
				})
				r.wantError(t, call(t.Context()), op)
			}
		}
	}
}

func testLongMessages(t *testing.T, r *run) {
	upload := r.allCalls(t)[providers.OpUpload]
	for _, message := range []string{
		strings.Repeat("长", 40_000), "line\r\nanother \x1b[31mred\x00 \x7f", strings.Repeat("x", 1<<20), "cut \xf0\x9f",
	} {
		r.remote.Fail(simulator.Fault{Op: providers.OpUpload, Times: 1, Kind: simulator.Refuse, Status: 400, Code: strings.Repeat("c", 10_000), Message: message})
		r.wantError(t, upload(t.Context()), providers.OpUpload)
	}
}

// testEndlessAnswers: each call's answer never ends, until the adapter stops reading.
func testEndlessAnswers(t *testing.T, r *run) {
	calls := r.allCalls(t)
	delete(calls, providers.OpText) // streams, whose readers decide
	delete(calls, providers.OpDownload)
	for op, call := range calls {
		r.remote.Fail(simulator.Fault{Op: op, Times: 1, Kind: simulator.Endless})
		var err error
		n := allocations(func() { err = call(t.Context()) })
		r.wantError(t, err, op, providers.KindUnknown, providers.KindTransient)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", op, err)
		}
		if n > allocatedByAnswer {
			t.Errorf("%s: an endless answer took %d MiB", op, n>>20)
		}
	}
}
