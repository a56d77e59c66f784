package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// only makes a hook for one operation.
func only(op providers.Op, hook func(ctx context.Context, what string) error) func(context.Context, providers.Op, string) error {
	return func(ctx context.Context, called providers.Op, what string) error {
		if called != op {
			return nil
		}
		return hook(ctx, what)
	}
}

// times makes a hook that fails the first n calls of an operation.
func times(n int, op providers.Op, err error) func(context.Context, providers.Op, string) error {
	var mu sync.Mutex
	return only(op, func(context.Context, string) error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n >= 0 {
			return err
		}
		return nil
	})
}

// However many ask, through several gateways, one upload is made.
func TestOneUploadForAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.put(t, "some text", "a.txt")
	g := newGate()
	w.depot.hook(only(providers.OpUpload, func(ctx context.Context, _ string) error { return g.pass(ctx) }), nil)

	const gateways, callers = 3, 70
	type result struct {
		copy    ledger.Copy
		created bool
		err     error
	}
	results := make(chan result, gateways*callers)
	for range gateways {
		r := w.replicator(t, nil)
		for range callers {
			go func() {
				c, created, err := r.Ensure(t.Context(), want(d))
				results <- result{c, created, err}
			}()
		}
	}
	<-g.reached
	g.open()
	created := 0
	ids := make(map[string]bool)
	for range gateways * callers {
		got := <-results
		if got.err != nil {
			t.Fatal(got.err)
		}
		ids[got.copy.FileID] = true
		if got.created {
			created++
		}
	}
	if n := w.depot.count(providers.OpUpload); n != 1 || len(ids) != 1 || created != 1 || len(w.depot.fileIDs()) != 1 {
		t.Errorf("%d uploads, ids %v, %d were told that they made it; want one of each", n, ids, created)
	}
}

// A caller that leaves stops no other caller, and undoes no work.
func TestCallersLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	d := w.put(t, "some text", "a.txt")
	g := newGate()
	w.depot.hook(only(providers.OpUpload, func(ctx context.Context, _ string) error { return g.pass(ctx) }), nil)

	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { _, _, err := r.Ensure(leaving, want(d)); left <- err }()
	<-g.reached
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left got %v", err)
	}

	hasty, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c, _, err := r.Ensure(hasty, want(d))
	if !errors.Is(err, providers.ErrCopyInProgress) || c.State != ledger.StateUploading || c.OperationID == "" {
		t.Errorf("the caller whose time ran out got %+v, %v", c, err)
	}

	staying := make(chan error)
	go func() { _, _, err := r.Ensure(t.Context(), want(d)); staying <- err }()
	g.open()
	if err := <-staying; err != nil {
		t.Errorf("the caller that stayed got %v", err)
	}
	if n := w.depot.count(providers.OpUpload); n != 1 {
		t.Errorf("%d uploads", n)
	}
}

// A ready copy costs one lookup and nothing else.
func TestHit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	d := w.put(t, "some text", "a.txt")
	first := ensure(t, r, want(d))
	c, created, err := r.Ensure(t.Context(), want(d))
	if err != nil || created || c.FileID != first.FileID {
		t.Errorf("a second ensure gave %+v, created %t, %v", c, created, err)
	}
	if !strings.HasPrefix(first.RemoteName, "a-"+string(w.mark(t))+"-"+d.Hex()[:16]+"-") || !strings.HasSuffix(first.RemoteName, ".txt") {
		t.Errorf("the remote name is %q", first.RemoteName)
	}
	for op, n := range map[providers.Op]int{providers.OpUpload: 1, providers.OpList: 0, providers.OpRetrieve: 0} {
		if got := w.depot.count(op); got != n {
			t.Errorf("%d calls to %s, want %d", got, op, n)
		}
	}
}

// The same bytes under another purpose or extension are another copy.
func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	d := w.put(t, "some text", "a.txt")
	ids := map[string]bool{}
	for _, q := range []replicator.Request{
		want(d),
		{Digest: d, Provider: "depot", Name: "b.pdf"},
		{Digest: d, Provider: "depot", Name: "b.png", Purpose: "image"},
		{Digest: d, Provider: "depot", Name: "other.txt"},     // the first again
		{Digest: d, Provider: "depot", Purpose: "docs"},       // the first again
		{Digest: d, Provider: "depot", Name: "x/y\\z\nB.TXT"}, // the first again
	} {
		ids[ensure(t, r, q).FileID] = true
	}
	if len(ids) != 3 {
		t.Errorf("ids %v, want three", ids)
	}
}

// A request that can be refused without the provider is refused at once, and leaves
// no row.
func TestRefusedWithoutAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, func(o *replicator.Options) { o.Unconfigured = map[string]string{"other": "set CAS_OTHER_API_KEY"} })
	text := w.put(t, "some text", "a.txt")
	for _, c := range []struct {
		name  string
		q     replicator.Request
		code  string // of an *Error
		is    error
		words string
	}{
		{"unknown provider", replicator.Request{Digest: text, Provider: "absent"}, "", providers.ErrProviderNotFound, "depot"},
		{"unconfigured provider", replicator.Request{Digest: text, Provider: "other"}, providers.CodeNotConfigured, nil, "CAS_OTHER_API_KEY"},
		{"unknown blob", want(cas.DigestOf([]byte("nothing"))), "", cas.ErrBlobNotFound, ""},
		{"unknown purpose", replicator.Request{Digest: text, Provider: "depot", Purpose: "p"}, "unknown_purpose", nil, "docs, image"},
		{"wrong extension", replicator.Request{Digest: text, Provider: "depot", Name: "a.exe"}, "unsupported_extension", nil, ".pdf"},
		{"empty", want(w.put(t, "", "empty.txt")), "empty_file", nil, ""},
		{"too large", want(w.put(t, strings.Repeat("x", 10<<20+1), "a.txt")), "file_too_large", nil, "10 MiB"},
	} {
		for _, ask := range []func() error{
			func() error { _, _, err := r.Ensure(t.Context(), c.q); return err },
			func() error { _, err := r.Begin(t.Context(), c.q); return err },
		} {
			err := ask()
			e, _ := errors.AsType[*providers.Error](err)
			switch {
			case err == nil:
				t.Errorf("%s: no error", c.name)
			case c.code != "" && (e == nil || e.Code != c.code), c.is != nil && !errors.Is(err, c.is), !strings.Contains(err.Error(), c.words):
				t.Errorf("%s: %v", c.name, err)
			case e != nil && c.code != providers.CodeNotConfigured && e.Kind != providers.KindPermanent:
				t.Errorf("%s: kind %s", c.name, e.Kind)
			}
		}
		if copies, err := r.Copies(t.Context(), c.q.Digest); err != nil || len(copies) > 0 {
			t.Errorf("%s: rows %+v, error %v", c.name, copies, err)
		}
	}
	if len(w.depot.calls) > 0 {
		t.Errorf("the provider was asked: %v", w.depot.calls)
	}
}

// An upload that may have got through is looked for before it is made again.
func TestAdoption(t *testing.T) {
	t.Parallel()
	lostReply := fail(providers.OpUpload, providers.KindUnknown, providers.CodeConnection, errors.New("connection reset"))
	broken := fail(providers.OpUpload, providers.KindTransient, "server_error", nil)
	broken.Status = 500
	for name, c := range map[string]struct {
		before, after *providers.Error
		uploads       int
	}{
		"lost reply, stored":           {after: lostReply, uploads: 1},
		"lost reply, not stored":       {before: lostReply, uploads: 2},
		"server error, stored":         {after: broken, uploads: 1},
		"server error, nothing stored": {before: broken, uploads: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replicator(t, nil)
			d := w.put(t, "some text", "a.txt")
			// Others that look alike but aren't it.
			hex := d.Hex()[:16]
			w.depot.store("a-"+hex+"-1.pdf", "docs", []byte("some text"))
			w.depot.store("a-"+hex+"-1.txt", "image", []byte("some text"))
			w.depot.store("a-"+hex+"-1.txt", "docs", []byte("another length"))
			w.depot.store("a.txt", "docs", []byte("some text"))
			var before, after func(context.Context, providers.Op, string) error
			if c.before != nil {
				before = times(1, providers.OpUpload, c.before)
			}
			if c.after != nil {
				after = times(1, providers.OpUpload, c.after)
			}
			w.depot.hook(before, after)
			got := ensure(t, r, want(d))
			if n := w.depot.count(providers.OpUpload); n != c.uploads {
				t.Errorf("%d uploads, want %d", n, c.uploads)
			}
			if ids := w.depot.fileIDs(); len(ids) != 5 || !slices.Contains(ids, got.FileID) {
				t.Errorf("remote files %v; the copy is %s", ids, got.FileID)
			}
			if row := w.row(t, got.Key); len(row.GivenUp()) > 0 || row.Error != nil || row.Attempts != 0 {
				t.Errorf("the row has data of an earlier attempt: %+v", row)
			}
		})
	}
}

// Each kind of failure decides the row, the answer to the next caller, and the
// queue.
func TestFailures(t *testing.T) {
	t.Parallel()
	withRetry := func(e *providers.Error, after time.Duration) *providers.Error { e.RetryAfter = after; return e }
	for name, c := range map[string]struct {
		err      *providers.Error
		state    ledger.State
		due      bool // again by itself, or when asked
		uploads  int  // tried for one request
		askAgain int  // tried by the next request
		retry    int  // tried by an explicit retry
	}{
		"permanent": {fail(providers.OpUpload, providers.KindPermanent, "content_filter", nil), ledger.StateFailed, false, 1, 0, 1},
		"quota":     {fail(providers.OpUpload, providers.KindQuota, "exceeded_current_quota_error", nil), ledger.StateFailed, true, 1, 0, 1},
		"auth":      {fail(providers.OpUpload, providers.KindAuth, "invalid_authentication_error", nil), ledger.StateFailed, true, 1, 0, 1},
		"rate limit with a long delay": {withRetry(fail(providers.OpUpload, providers.KindTransient, "rate", nil), time.Minute),
			ledger.StatePending, true, 1, 0, 1},
		"attempts used up": {fail(providers.OpUpload, providers.KindTransient, "engine_overloaded", nil), ledger.StateFailed, true, 2, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replicator(t, func(o *replicator.Options) { o.MaxAttempts = 2 })
			q := want(w.put(t, "some text", "a.txt"))
			w.depot.hook(times(1000, providers.OpUpload, c.err), nil)
			expect := func(what string, q replicator.Request, uploads int) {
				t.Helper()
				before := w.depot.count(providers.OpUpload)
				_, _, err := r.Ensure(t.Context(), q)
				if e, ok := errors.AsType[*providers.Error](err); !ok || e.Kind != c.err.Kind || e.Code != c.err.Code {
					t.Errorf("%s: error %v", what, err)
				} else if c.due && what != "the first" && e.RetryAfter <= 0 {
					t.Errorf("%s: it doesn't say when to ask again: %v", what, err)
				}
				if n := w.depot.count(providers.OpUpload) - before; n != uploads {
					t.Errorf("%s: %d uploads, want %d", what, n, uploads)
				}
			}
			expect("the first", q, c.uploads)
			copies, err := r.Copies(t.Context(), q.Digest)
			if err != nil || len(copies) != 1 {
				t.Fatal(copies, err)
			}
			row := copies[0]
			if row.State != c.state || row.NextAttemptAt.IsZero() == c.due || row.Error == nil || row.Error.Code != c.err.Code {
				t.Errorf("the row is %s, due %v, error %v", row.State, row.NextAttemptAt, row.Error)
			}
			expect("asked again", q, c.askAgain)
			retry := q
			retry.Retry = true
			if c.state == ledger.StateFailed {
				w.depot.hook(nil, nil)
				ensure(t, r, retry)
			}
		})
	}
}

// While the breaker is open, no caller waits and no row changes.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	there := want(w.put(t, "there", "a.txt"))
	ensure(t, r, there)
	w.depot.setHealth(providers.Health{Breaker: providers.BreakerOpen, RetryAfter: 7 * time.Second})
	q := want(w.put(t, "some text", "b.txt"))
	_, _, err := r.Ensure(t.Context(), q)
	if e, ok := errors.AsType[*providers.Error](err); !ok || e.Code != providers.CodeUnavailable || e.RetryAfter != 7*time.Second {
		t.Errorf("error %v", err)
	}
	if copies, err := r.Copies(t.Context(), q.Digest); err != nil || len(copies) > 0 {
		t.Errorf("rows %v, error %v", copies, err)
	}
	ensure(t, r, there)
	// In the background it may be asked for nevertheless, and is made once the
	// provider is back.
	if c, err := r.Begin(t.Context(), q); err != nil || c.State != ledger.StatePending {
		t.Errorf("Begin: %+v, %v", c, err)
	}
	run(t, r)
	w.depot.setHealth(providers.Health{Available: true, Breaker: providers.BreakerClosed})
	eventually(t, "the copy is made", func() bool {
		c, err := r.Copy(t.Context(), q)
		return err == nil && c.State == ledger.StateReady
	})
}

// A copy near its end is renewed before it is handed out, and its old file
// removed at its end; where that fails the old one does while it lasts.
func TestRenewal(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.description.Purposes[0].LifetimeSeconds = 3600 // and a margin of six minutes
		q := want(w.put(t, "some text", "a.txt"))
		first := ensure(t, r, q)
		if left := time.Until(first.ExpiresAt); left < 59*time.Minute || left > time.Hour {
			t.Errorf("the copy lasts %v", left)
		}
		time.Sleep(55 * time.Minute)

		w.depot.hook(times(1, providers.OpUpload, fail(providers.OpUpload, providers.KindTransient, "x", nil)), nil)
		if c := ensure(t, r, q); c.FileID != first.FileID {
			t.Errorf("a renewal that failed gave %s, want the old %s", c.FileID, first.FileID)
		}
		time.Sleep(time.Second) // the failed upload sent bytes in vain
		second := ensure(t, r, q)
		if second.FileID == first.FileID || time.Until(second.ExpiresAt) < 50*time.Minute {
			t.Errorf("the copy was not renewed: %+v", second)
		}
		time.Sleep(6 * time.Minute)
		if ids := w.depot.fileIDs(); !slices.Equal(ids, []string{second.FileID}) {
			t.Errorf("remote files %v, want %s alone", ids, second.FileID)
		}
	})
}

// age makes a ready copy expire at the given time.
func (w *world) age(t *testing.T, c ledger.Copy, expires time.Time) {
	t.Helper()
	ctx := t.Context()
	// The way a row comes by its expiry is a completion; so it is renewed with the same file.
	claimed, won, err := w.ledger.Change(ctx, ledger.Claim(ledger.Wanted{Key: c.Key, Name: c.Name, MediaType: c.MediaType, Size: c.Size, Margin: 10_000 * time.Hour}, time.Minute))
	if err != nil || !won {
		t.Fatalf("claim: %t, %v", won, err)
	}
	f := providers.RemoteFile{ID: c.FileID, Name: c.RemoteName, Size: c.Size, Purpose: c.Purpose, ExpiresAt: expires, Status: providers.StatusReady}
	if _, held, err := w.ledger.Change(ctx, ledger.Complete(c.Key, claimed.Fence, f)); err != nil || !held {
		t.Fatalf("complete: %t, %v", held, err)
	}
}

// A file that the provider works on is ready when the provider says so.
func TestProcessing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		later           providers.Status
		laterCode, code string
	}{
		"ready":   {providers.StatusReady, "", ""},
		"failed":  {providers.StatusFailed, "", "processing_failed"},
		"no text": {providers.StatusFailed, providers.CodeNoText, providers.CodeNoText},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.depot.status, w.depot.later, w.depot.laterCode = providers.StatusProcessing, c.later, c.laterCode
			r := w.replicator(t, nil)
			_, _, err := r.Ensure(t.Context(), want(w.put(t, "some text", "a.txt")))
			e, _ := errors.AsType[*providers.Error](err)
			switch {
			case c.code == "" && err != nil, c.code != "" && (e == nil || e.Code != c.code):
				t.Errorf("error %v", err)
			case c.code != "" && len(w.depot.fileIDs()) > 0:
				t.Errorf("the failed file was left: %v", w.depot.fileIDs())
			}
		})
	}
}

// Work that was cut off while the provider processed the file goes on from there.
func TestProcessingResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.status, w.depot.later = providers.StatusProcessing, providers.StatusProcessing
	processing := make(chan struct{})
	dying := w.replicator(t, func(o *replicator.Options) {
		o.Lease = 200 * time.Millisecond
		o.OnStep = func(s replicator.Step) {
			if s == replicator.StepProcessed {
				close(processing)
			}
		}
	})
	q := want(w.put(t, "some text", "a.txt"))
	if _, err := dying.Begin(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	run(t, dying)
	<-processing
	dying.Close()
	w.depot.mu.Lock()
	w.depot.later = providers.StatusReady
	w.depot.mu.Unlock()
	c := ensure(t, w.replicator(t, nil), q)
	if n := w.depot.count(providers.OpUpload); n != 1 || !slices.Equal(w.depot.fileIDs(), []string{c.FileID}) {
		t.Errorf("%d uploads, files %v, the copy is %s", n, w.depot.fileIDs(), c.FileID)
	}
}

// A copy requested in the background is made, if need be after the next start.
func TestQueueSurvives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.replicator(t, nil)
	var all []replicator.Request
	for i := range 20 {
		q := want(w.put(t, fmt.Sprint("text ", i), "a.txt"))
		if c, err := first.Begin(t.Context(), q); err != nil || c.State != ledger.StatePending || c.OperationID != q.OperationID {
			t.Fatalf("Begin: %+v, %v", c, err)
		}
		all = append(all, q)
	}
	first.Close() // it never ran
	second := w.replicator(t, nil)
	run(t, second)
	eventually(t, "all copies are made", func() bool { return len(w.depot.fileIDs()) == len(all) })
	for _, q := range all {
		eventually(t, "a copy is ready", func() bool {
			c, err := second.Operation(t.Context(), q.OperationID)
			return err == nil && c.State == ledger.StateReady
		})
	}
	if n := w.depot.count(providers.OpUpload); n != len(all) {
		t.Errorf("%d uploads of %d copies", n, len(all))
	}
}

// A blob with damaged bytes never completes at a provider. After a repair it can be
// requested again.
func TestCorruptSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	content := strings.Repeat("some text", 100_000)
	d := w.put(t, content, "a.txt")
	w.damage(t, d)
	_, _, err := r.Ensure(t.Context(), want(d))
	if !errors.Is(err, cas.ErrObjectCorrupt) {
		t.Errorf("error %v", err)
	}
	if ids := w.depot.fileIDs(); len(ids) > 0 {
		t.Errorf("remote files %v", ids)
	}
	w.put(t, content, "a.txt")
	eventually(t, "it can be asked for again", func() bool {
		_, _, err := r.Ensure(t.Context(), want(d))
		return err == nil
	})
}

// A breaker that keeps refusing, as one does whose probe does not end, ends an ensure
// that has no deadline.
func TestRefusalsOfTheBreakerEndAnEnsure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.hook(only(providers.OpUpload, func(context.Context, string) error {
		refusal := fail(providers.OpUpload, providers.KindTransient, providers.CodeUnavailable, nil)
		refusal.RetryAfter = time.Millisecond
		return refusal
	}), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := w.replicator(t, nil).Ensure(ctx, want(w.put(t, "some text", "a.txt")))
	if e, ok := errors.AsType[*providers.Error](err); !ok || e.Code != providers.CodeUnavailable {
		t.Errorf("%+v, %v", c, err)
	}
	if row := w.row(t, c.Key); row.State != ledger.StatePending {
		t.Errorf("the copy is %s, not left to the queue", row.State)
	}
}
