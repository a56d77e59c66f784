package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// The times of the tests. A lease or a due time is over or still to come.
var (
	now      = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	before   = now.Add(-time.Hour)
	uploaded = now.Add(-time.Minute) // later than before, the time of creation
	soon     = now.Add(time.Minute)
	late     = now.Add(time.Hour)
	never    time.Time
)

const (
	fence    = 7
	lease    = 10 * time.Minute
	settling = 20 * time.Second
)

var (
	key    = ledger.Key{Digest: cas.DigestOf([]byte("some")), Provider: "kimi", Account: "a@api.example", Purpose: "batch", Extension: ".jsonl"}
	wanted = ledger.Wanted{Key: key, Name: "new.jsonl", MediaType: "text/new", Size: 2, OperationID: "new", Margin: 30 * time.Minute}
	reason = &providers.Error{Provider: "kimi", Op: providers.OpUpload, Kind: providers.KindTransient}
	found  = providers.RemoteFile{ID: "f2", Name: "new-f2.jsonl", Status: providers.StatusReady, ExpiresAt: late}
)

// row is a row in a state that the database would accept, with every field set that
// the state allows.
func row(state ledger.State, change ...func(c *ledger.Copy)) ledger.Copy {
	c := ledger.Copy{
		Key: key, State: state, Fence: fence, Name: "old.jsonl", MediaType: "text/old", Size: 1,
		Attempts: 3, Losses: 1, Error: reason, OperationID: "old",
		CreatedAt: before, ReadyAt: before, LastUsedAt: before, LostAt: before,
	}
	switch state {
	case ledger.StateUploading:
		c.LeaseUntil = soon
	case ledger.StateProcessing:
		c.FileID, c.RemoteName, c.UploadedAt, c.LeaseUntil = "f1", "old-f1.jsonl", uploaded, soon
	case ledger.StateUnverified:
		c.FileID, c.RemoteName, c.LeaseUntil = "f1", "old-f1.jsonl", soon
	case ledger.StateReady:
		c.FileID, c.RemoteName, c.UploadedAt, c.ExpiresAt = "f1", "old-f1.jsonl", uploaded, late
	case ledger.StatePending, ledger.StateFailed, ledger.StateLost:
		c.NextAttemptAt = soon
	case ledger.StateDeleting:
		c.FileID, c.RemoteName, c.UploadedAt, c.LeaseUntil, c.NextAttemptAt = "f1", "old-f1.jsonl", uploaded, soon, soon
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

// Changes of rows, to arrange them and to say what is expected.
func leaseUntil(t time.Time) func(c *ledger.Copy) {
	return func(c *ledger.Copy) { c.LeaseUntil = t }
}

func nextAttempt(t time.Time) func(c *ledger.Copy) {
	return func(c *ledger.Copy) { c.NextAttemptAt = t }
}

func expires(t time.Time) func(c *ledger.Copy) {
	return func(c *ledger.Copy) { c.ExpiresAt = t }
}

// described has w's description, except for the operation.
func described(c *ledger.Copy) {
	c.Name, c.MediaType, c.Size = wanted.Name, wanted.MediaType, wanted.Size
}

func operation(id string) func(c *ledger.Copy) {
	return func(c *ledger.Copy) { c.OperationID = id }
}

func noFile(c *ledger.Copy) {
	c.FileID, c.RemoteName, c.ExpiresAt, c.UploadedAt = "", "", never, never
}

// stray adds a stray of which only the attempt is known.
func stray(fence int64, at time.Time) func(c *ledger.Copy) {
	return func(c *ledger.Copy) { c.Strays = append(slices.Clone(c.Strays), ledger.Stray{Fence: fence, At: at}) }
}

// givenUp adds a file that was given up.
func givenUp(fence int64, id string, at time.Time) func(c *ledger.Copy) {
	return func(c *ledger.Copy) {
		c.Strays = append(slices.Clone(c.Strays), ledger.Stray{Fence: fence, FileID: id, At: at})
	}
}

// oldFile gives up the row's file.
func oldFile(c *ledger.Copy) {
	givenUp(0, c.FileID, uploaded)(c)
	noFile(c)
}

// keptFile keeps the row's file until a time.
func keptFile(until time.Time) func(c *ledger.Copy) {
	return func(c *ledger.Copy) {
		c.Strays = append(slices.Clone(c.Strays), ledger.Stray{FileID: c.FileID, At: uploaded, KeepUntil: until})
		noFile(c)
	}
}

// renewing is a row that is renewed, and whose file expires at a time.
func renewing(expires time.Time) ledger.Copy {
	return row(ledger.StateUploading, func(c *ledger.Copy) {
		c.FileID, c.RemoteName, c.UploadedAt, c.ExpiresAt = "f1", "old-f1.jsonl", uploaded, expires
	})
}

// lookAt says when the strays are looked for.
func lookAt(t time.Time) func(c *ledger.Copy) { return func(c *ledger.Copy) { c.LookAt = t } }

// becomes returns a row after changes.
func becomes(c ledger.Copy, change ...func(c *ledger.Copy)) *ledger.Copy {
	for _, f := range change {
		f(&c)
	}
	return &c
}

// claimed is how Claim changes a row.
func claimed(state ledger.State, attempts int) func(c *ledger.Copy) {
	return func(c *ledger.Copy) {
		c.State, c.Attempts, c.Fence, c.NextAttemptAt, c.LeaseUntil = state, attempts, c.Fence+1, never, now.Add(lease)
	}
}

// requested is how Request changes a row.
func requested(state ledger.State) func(c *ledger.Copy) {
	return func(c *ledger.Copy) {
		c.State, c.Attempts, c.Error, c.NextAttemptAt, c.LeaseUntil = state, 0, nil, now, never
	}
}

// completed is how Complete changes a row.
func completed(c *ledger.Copy) {
	c.State, c.FileID, c.RemoteName, c.ExpiresAt = ledger.StateReady, found.ID, found.Name, found.ExpiresAt
	c.Error, c.NextAttemptAt, c.Attempts, c.UploadedAt, c.ReadyAt, c.LeaseUntil = nil, never, 0, now, now, never
}

// failed is how a failure with these values changes a row.
func failed(state ledger.State, next time.Time) func(c *ledger.Copy) {
	return func(c *ledger.Copy) { c.State, c.Error, c.NextAttemptAt, c.LeaseUntil = state, reason, next, never }
}

// deleting is how Delete and Evict change a row.
func deleting(c *ledger.Copy) {
	if c.State != ledger.StateDeleting {
		c.Error, c.Attempts = nil, 0
	}
	c.State, c.Fence, c.LeaseUntil, c.NextAttemptAt = ledger.StateDeleting, c.Fence+1, now.Add(lease), now.Add(lease)
}

func evicting(c *ledger.Copy) { c.Evicting = true }

// deleted is how FinishDelete changes a row.
func deleted(c *ledger.Copy) {
	noFile(c)
	c.State, c.Error, c.NextAttemptAt, c.LeaseUntil = ledger.StateDeleted, nil, never, never
	c.ReadyAt, c.LastUsedAt = never, never
}

// lost is how Lose changes a row.
func lost(losses int, next time.Time) func(c *ledger.Copy) {
	return func(c *ledger.Copy) {
		oldFile(c)
		c.State, c.LookAt, c.Losses, c.LostAt, c.NextAttemptAt, c.LeaseUntil = ledger.StateLost, now, losses, now, next, never
	}
}

// step is a transition of a row. The row does not change if want is nil.
type step struct {
	name    string
	row     ledger.Copy
	by      ledger.Transition
	want    *ledger.Copy
	repeats bool   // the row is already so
	err     string // part of the error
}

func check(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if err := s.by.Check(); err != nil {
				t.Fatal(err)
			}
			given := s.row
			got, outcome, err := s.by.Apply(s.row, now)
			if diff := cmp.Diff(given, s.row); diff != "" {
				t.Errorf("the caller's row was changed:\n%s", diff)
			}
			if s.err != "" {
				if err == nil || !strings.Contains(err.Error(), s.err) {
					t.Errorf("error %v; want %q", err, s.err)
				}
				return
			}
			want, wantOutcome := s.row, ledger.Refused
			switch {
			case s.want != nil:
				want, wantOutcome = *s.want, ledger.Changed
			case s.repeats:
				wantOutcome = ledger.Repeated
			}
			want.Key = key
			if err != nil || outcome != wantOutcome {
				t.Errorf("outcome %d, error %v; want %d", outcome, err, wantOutcome)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the row is not as it should be (-want +got):\n%s", diff)
			}
		})
	}
}

// notFound is part of ErrNotFound.
var notFound = ledger.ErrNotFound.Error()

func TestClaim(t *testing.T) {
	t.Parallel()
	claim, retry := ledger.Claim(wanted, lease), wanted
	retry.Retry = true
	existing := wanted
	existing.Existing = true
	again := ledger.Claim(retry, lease)
	briefly := wanted
	briefly.ByLife = true
	first := ledger.Copy{
		Key: key, State: ledger.StateUploading, Fence: 1, Name: wanted.Name, MediaType: wanted.MediaType, Size: wanted.Size,
		Attempts: 1, OperationID: "new", CreatedAt: now, LeaseUntil: now.Add(lease),
	}
	is := func(s ledger.State, change ...func(c *ledger.Copy)) ledger.Copy { return row(s, change...) }
	begun := func(c ledger.Copy, state ledger.State, attempts int, more ...func(c *ledger.Copy)) *ledger.Copy {
		return becomes(becomesValue(c, more...), described, claimed(state, attempts))
	}
	check(t, []step{
		{name: "no row", by: claim, want: &first},
		{name: "pending and due", row: is(ledger.StatePending, nextAttempt(now)), by: claim,
			want: begun(is(ledger.StatePending), ledger.StateUploading, 4)},
		{name: "pending and not due", row: is(ledger.StatePending), by: claim},
		{name: "pending, never due", row: is(ledger.StatePending, nextAttempt(never)), by: claim},
		{name: "pending and not due, retried", row: is(ledger.StatePending), by: again,
			want: begun(is(ledger.StatePending), ledger.StateUploading, 4)},
		{name: "uploading", row: is(ledger.StateUploading), by: again},
		{name: "uploading, the lease ran out", row: is(ledger.StateUploading, leaseUntil(now)), by: claim,
			want: begun(is(ledger.StateUploading), ledger.StateUploading, 3, stray(fence, now))},
		{name: "processing", row: is(ledger.StateProcessing), by: again},
		{name: "processing, the lease ran out", row: is(ledger.StateProcessing, leaseUntil(before)), by: claim,
			want: begun(is(ledger.StateProcessing), ledger.StateProcessing, 3)},
		{name: "entered", row: is(ledger.StateUnverified, leaseUntil(never)), by: claim,
			want: begun(is(ledger.StateUnverified), ledger.StateUnverified, 3, operation("new"))},
		{name: "entered and requested", row: is(ledger.StateUnverified, leaseUntil(never), nextAttempt(soon)), by: claim,
			want: begun(is(ledger.StateUnverified), ledger.StateUnverified, 3)},
		{name: "being verified", row: is(ledger.StateUnverified), by: again},
		{name: "ready", row: is(ledger.StateReady), by: again},
		{name: "ready for ever", row: is(ledger.StateReady, expires(never)), by: again},
		{name: "ready, within the margin, and not within the share of its life", row: is(ledger.StateReady, expires(now.Add(wanted.Margin))), by: ledger.Claim(briefly, lease)},
		{name: "ready, within the share of its life", row: is(ledger.StateReady, expires(now.Add(6*time.Second))), by: ledger.Claim(briefly, lease),
			want: begun(is(ledger.StateReady, expires(now.Add(6*time.Second))), ledger.StateUploading, 1, operation("new"))},
		{name: "ready, within the margin", row: is(ledger.StateReady, expires(now.Add(wanted.Margin))), by: claim,
			want: begun(is(ledger.StateReady, expires(now.Add(wanted.Margin))), ledger.StateUploading, 1, operation("new"))},
		{name: "failed and due", row: is(ledger.StateFailed, nextAttempt(before)), by: claim,
			want: begun(is(ledger.StateFailed), ledger.StateUploading, 1, operation("new"))},
		{name: "failed permanently", row: is(ledger.StateFailed, nextAttempt(never)), by: claim},
		{name: "failed permanently, retried", row: is(ledger.StateFailed, nextAttempt(never)), by: again,
			want: begun(is(ledger.StateFailed), ledger.StateUploading, 1, operation("new"))},
		{name: "lost and due", row: is(ledger.StateLost, nextAttempt(now)), by: claim,
			want: begun(is(ledger.StateLost), ledger.StateUploading, 1, operation("new"))},
		{name: "lost too often", row: is(ledger.StateLost), by: claim},
		{name: "evicted", row: is(ledger.StateEvicted), by: claim,
			want: begun(is(ledger.StateEvicted), ledger.StateUploading, 1, operation("new"))},
		{name: "deleting", row: is(ledger.StateDeleting, leaseUntil(before)), by: again},
		{name: "deleted, seen before", row: is(ledger.StateDeleted), by: ledger.Claim(existing, lease)},
		{name: "evicted, seen before", row: is(ledger.StateEvicted), by: ledger.Claim(existing, lease),
			want: begun(is(ledger.StateEvicted), ledger.StateUploading, 1, operation("new"))},
		{name: "lost, with strays", row: is(ledger.StateLost, nextAttempt(now), givenUp(3, "f0", before), lookAt(soon)), by: claim,
			want: begun(is(ledger.StateLost, givenUp(3, "f0", before)), ledger.StateUploading, 1, operation("new"))},
		{name: "deleted", row: is(ledger.StateDeleted), by: claim,
			want: begun(is(ledger.StateDeleted), ledger.StateUploading, 1, operation("new"), func(c *ledger.Copy) { c.CreatedAt = now })},
	})
}

// becomesValue is becomes by value.
func becomesValue(c ledger.Copy, change ...func(c *ledger.Copy)) ledger.Copy {
	return *becomes(c, change...)
}

func TestRequest(t *testing.T) {
	t.Parallel()
	request := ledger.Request(wanted)
	first := ledger.Copy{
		Key: key, State: ledger.StatePending, Name: wanted.Name, MediaType: wanted.MediaType, Size: wanted.Size,
		OperationID: "new", CreatedAt: now, NextAttemptAt: now,
	}
	check(t, []step{
		{name: "no row", by: request, want: &first},
		{name: "pending and due", row: row(ledger.StatePending, nextAttempt(now)), by: request,
			want: becomes(row(ledger.StatePending), described, requested(ledger.StatePending))},
		{name: "pending and not due", row: row(ledger.StatePending), by: request},
		{name: "uploading, the lease ran out", row: row(ledger.StateUploading, leaseUntil(now)), by: request,
			want: becomes(row(ledger.StateUploading), described, stray(fence, now), requested(ledger.StatePending))},
		{name: "processing, the lease ran out", row: row(ledger.StateProcessing, leaseUntil(now)), by: request},
		{name: "entered", row: row(ledger.StateUnverified, leaseUntil(never)), by: request,
			want: becomes(row(ledger.StateUnverified), described, operation("new"), requested(ledger.StateUnverified))},
		{name: "ready", row: row(ledger.StateReady), by: request},
		{name: "ready, expired", row: row(ledger.StateReady, expires(before)), by: request,
			want: becomes(row(ledger.StateReady, expires(before)), described, operation("new"), requested(ledger.StatePending))},
		{name: "failed and due", row: row(ledger.StateFailed, nextAttempt(now)), by: request,
			want: becomes(row(ledger.StateFailed), described, operation("new"), requested(ledger.StatePending))},
		{name: "deleting", row: row(ledger.StateDeleting, leaseUntil(never)), by: request},
		{name: "deleted", row: row(ledger.StateDeleted), by: request,
			want: becomes(row(ledger.StateDeleted), described, operation("new"), requested(ledger.StatePending), func(c *ledger.Copy) { c.CreatedAt = now })},
	})
}

func TestEnter(t *testing.T) {
	t.Parallel()
	steps := []step{{name: "no row", by: ledger.Enter(wanted, "f9"), want: &ledger.Copy{
		State: ledger.StateUnverified, FileID: "f9", Name: wanted.Name, MediaType: wanted.MediaType, Size: wanted.Size,
		OperationID: "new", CreatedAt: now,
	}}}
	for _, state := range states {
		steps = append(steps, step{name: string(state), row: row(state), by: ledger.Enter(wanted, "f9")})
	}
	check(t, steps)
}

// states lists all states.
var states = []ledger.State{
	ledger.StatePending, ledger.StateUploading, ledger.StateProcessing, ledger.StateUnverified, ledger.StateReady,
	ledger.StateFailed, ledger.StateLost, ledger.StateEvicted, ledger.StateDeleting, ledger.StateDeleted,
}

// The holder of the lease, in the states that have one.
func TestExtendLease(t *testing.T) {
	t.Parallel()
	var steps []step
	for _, state := range states {
		s := step{name: string(state), row: row(state), by: ledger.ExtendLease(key, fence, lease)}
		if !s.row.LeaseUntil.IsZero() {
			s.want = becomes(s.row, leaseUntil(now.Add(lease)))
		}
		older := step{name: string(state) + " under an older fence", row: s.row, by: ledger.ExtendLease(key, fence-1, lease)}
		steps = append(steps, s, older)
	}
	check(t, append(steps,
		step{name: "no row", by: ledger.ExtendLease(key, fence, lease), err: notFound},
		step{name: "a lease that ran out", row: row(ledger.StateUploading, leaseUntil(before)), by: ledger.ExtendLease(key, fence, lease),
			want: becomes(row(ledger.StateUploading), leaseUntil(now.Add(lease)))},
	))
}

func TestComplete(t *testing.T) {
	t.Parallel()
	processing := found
	processing.Status = providers.StatusProcessing
	done := row(ledger.StateReady, func(c *ledger.Copy) { c.FileID = found.ID })
	check(t, []step{
		{name: "no row", by: ledger.Complete(key, fence, found), err: notFound},
		{name: "uploading", row: row(ledger.StateUploading, stray(3, before)), by: ledger.Complete(key, fence, found),
			want: becomes(row(ledger.StateUploading, stray(3, before)), completed, lookAt(now))},
		{name: "with a file that was given up", row: row(ledger.StateUploading, givenUp(3, found.ID, before)), by: ledger.Complete(key, fence, found)},
		{name: "uploading, the lease ran out", row: row(ledger.StateUploading, leaseUntil(before)), by: ledger.Complete(key, fence, found),
			want: becomes(row(ledger.StateUploading), completed)},
		{name: "processing", row: row(ledger.StateProcessing), by: ledger.Complete(key, fence, found),
			want: becomes(row(ledger.StateProcessing), oldFile, completed, lookAt(now))},
		{name: "processing, the same file", row: row(ledger.StateProcessing, func(c *ledger.Copy) { c.FileID = found.ID }), by: ledger.Complete(key, fence, found),
			want: becomes(row(ledger.StateProcessing), completed, func(c *ledger.Copy) { c.UploadedAt = uploaded })},
		{name: "unverified", row: row(ledger.StateUnverified, func(c *ledger.Copy) { c.FileID = found.ID }), by: ledger.Complete(key, fence, found),
			want: becomes(row(ledger.StateUnverified), completed, func(c *ledger.Copy) { c.UploadedAt = never })},
		{name: "unverified, another file", row: row(ledger.StateUnverified), by: ledger.Complete(key, fence, found),
			want: becomes(row(ledger.StateUnverified), completed)},
		{name: "with a file in process", row: row(ledger.StateUploading), by: ledger.Complete(key, fence, processing),
			want: becomes(row(ledger.StateUploading), completed, func(c *ledger.Copy) {
				c.State, c.Attempts, c.ReadyAt, c.LeaseUntil = ledger.StateProcessing, 3, before, soon
			})},
		{name: "a renewal, the old file is kept until it expires", row: renewing(soon), by: ledger.Complete(key, fence, found),
			want: becomes(renewing(soon), keptFile(soon), completed, lookAt(now))},
		{name: "a renewal, the old file has expired", row: renewing(before), by: ledger.Complete(key, fence, found),
			want: becomes(renewing(before), oldFile, completed, lookAt(now))},
		{name: "under an older fence", row: row(ledger.StateUploading), by: ledger.Complete(key, fence-1, found)},
		{name: "unverified without a lease", row: row(ledger.StateUnverified, leaseUntil(never)), by: ledger.Complete(key, fence, found)},
		{name: "deleting", row: row(ledger.StateDeleting), by: ledger.Complete(key, fence, found)},
		{name: "deleted", row: row(ledger.StateDeleted), by: ledger.Complete(key, fence, found)},
		{name: "again", row: done, by: ledger.Complete(key, fence, found), repeats: true},
		{name: "again under an older fence", row: done, by: ledger.Complete(key, fence-1, found)},
		{name: "ready with another file", row: row(ledger.StateReady), by: ledger.Complete(key, fence, found)},
	})
}

func TestFail(t *testing.T) {
	t.Parallel()
	pending := ledger.Failure{State: ledger.StatePending, Error: reason, MayTurnUp: true, Again: true, After: time.Minute}
	forGood := ledger.Failure{State: ledger.StateFailed, Error: reason}
	renewal := ledger.Failure{State: ledger.StateReady, Error: reason, Again: true, After: time.Minute}
	renewing := renewing(late)
	wrong := ledger.Failure{State: ledger.StateFailed, Error: reason, GivenUp: "f3"}
	check(t, []step{
		{name: "no row", by: ledger.Fail(key, fence, pending), err: notFound},
		{name: "uploading, tried again", row: row(ledger.StateUploading), by: ledger.Fail(key, fence, pending),
			want: becomes(row(ledger.StateUploading), failed(ledger.StatePending, now.Add(time.Minute)), stray(fence, now))},
		{name: "uploading, permanently", row: row(ledger.StateUploading, stray(3, before)), by: ledger.Fail(key, fence, forGood),
			want: becomes(row(ledger.StateUploading, stray(3, before)), failed(ledger.StateFailed, never), lookAt(now))},
		{name: "uploading, with a wrong file", row: row(ledger.StateUploading), by: ledger.Fail(key, fence, wrong),
			want: becomes(row(ledger.StateUploading), failed(ledger.StateFailed, never), givenUp(fence, "f3", now), lookAt(now))},
		{name: "processing", row: row(ledger.StateProcessing), by: ledger.Fail(key, fence, forGood),
			want: becomes(row(ledger.StateProcessing), oldFile, failed(ledger.StateFailed, never), lookAt(now))},
		{name: "processing, to be adopted later", row: row(ledger.StateProcessing), by: ledger.Fail(key, fence, pending),
			want: becomes(row(ledger.StateProcessing), noFile, failed(ledger.StatePending, now.Add(time.Minute)), stray(fence, now))},
		{name: "unverified", row: row(ledger.StateUnverified), by: ledger.Fail(key, fence, forGood),
			want: becomes(row(ledger.StateUnverified), noFile, failed(ledger.StateFailed, never))},
		{name: "a renewal, the old file is good", row: renewing, by: ledger.Fail(key, fence, renewal),
			want: becomes(renewing, failed(ledger.StateReady, now.Add(time.Minute)))},
		{name: "a renewal, the old file is not good", row: renewing, by: ledger.Fail(key, fence, forGood),
			want: becomes(renewing, oldFile, failed(ledger.StateFailed, never), lookAt(now))},
		{name: "ready without an old file", row: row(ledger.StateUploading), by: ledger.Fail(key, fence, renewal), err: "no earlier file"},
		{name: "ready with a file in process", row: row(ledger.StateProcessing), by: ledger.Fail(key, fence, renewal), err: "no earlier file"},
		{name: "under an older fence", row: row(ledger.StateUploading), by: ledger.Fail(key, fence-1, pending)},
		{name: "deleting", row: row(ledger.StateDeleting), by: ledger.Fail(key, fence, pending)},
		{name: "again", row: row(ledger.StatePending), by: ledger.Fail(key, fence, pending), repeats: true},
		{name: "again, with another state", row: row(ledger.StatePending), by: ledger.Fail(key, fence, forGood)},
	})
}

func TestLose(t *testing.T) {
	t.Parallel()
	lose := func(allowed int, window time.Duration) ledger.Transition {
		return ledger.Lose(key, "f1", allowed, window)
	}
	steps := []step{
		{name: "no row", by: lose(3, time.Hour), err: notFound},
		{name: "deleted", row: row(ledger.StateDeleted), by: lose(3, time.Hour), err: notFound},
		{name: "ready", row: row(ledger.StateReady), by: lose(3, 2*time.Hour), want: becomes(row(ledger.StateReady), lost(2, now))},
		{name: "ready, for the first time", row: row(ledger.StateReady, func(c *ledger.Copy) { c.Losses, c.LostAt = 0, never }),
			by: lose(3, time.Hour), want: becomes(row(ledger.StateReady), lost(1, now))},
		{name: "processing", row: row(ledger.StateProcessing), by: lose(3, 2*time.Hour), want: becomes(row(ledger.StateProcessing), lost(2, now))},
		{name: "after the window", row: row(ledger.StateReady), by: lose(3, time.Hour), want: becomes(row(ledger.StateReady), lost(1, now))},
		{name: "more than allowed", row: row(ledger.StateReady), by: lose(1, 2*time.Hour), want: becomes(row(ledger.StateReady), lost(2, now.Add(2*time.Hour)))},
		{name: "another file", row: row(ledger.StateReady), by: ledger.Lose(key, "f9", 3, time.Hour)},
	}
	for _, state := range states {
		if state != ledger.StateReady && state != ledger.StateProcessing && state != ledger.StateDeleted {
			c := row(state, func(c *ledger.Copy) { c.FileID = "f1" })
			steps = append(steps, step{name: string(state), row: c, by: lose(3, time.Hour)})
		}
	}
	check(t, steps)
}

func TestDelete(t *testing.T) {
	t.Parallel()
	steps := []step{
		{name: "no row", by: ledger.Delete(key, "", lease), err: notFound},
		{name: "deleted", row: row(ledger.StateDeleted), by: ledger.Delete(key, "", lease), err: notFound},
		{name: "with an operation", row: row(ledger.StateReady), by: ledger.Delete(key, "delete", lease),
			want: becomes(row(ledger.StateReady), deleting, operation("delete"))},
		{name: "deleting", row: row(ledger.StateDeleting), by: ledger.Delete(key, "delete", lease)},
		{name: "deleting for another operation, without a lease", row: row(ledger.StateDeleting, leaseUntil(never)), by: ledger.Delete(key, "delete", lease),
			want: becomes(row(ledger.StateDeleting), deleting, later("delete"))},
		{name: "deleting for the same operation, without a lease", row: row(ledger.StateDeleting, leaseUntil(never), later("delete")),
			by: ledger.Delete(key, "delete", lease), want: becomes(row(ledger.StateDeleting, later("delete")), deleting)},
		{name: "deleting for too many operations", row: row(ledger.StateDeleting, leaseUntil(never), manyLater), by: ledger.Delete(key, "delete", lease)},
		{name: "deleting for many operations, one of them again", row: row(ledger.StateDeleting, leaseUntil(never), manyLater),
			by: ledger.Delete(key, "63", lease), want: becomes(row(ledger.StateDeleting, manyLater), deleting)},
		{name: "deleting, the lease ran out", row: row(ledger.StateDeleting, leaseUntil(now)), by: ledger.Delete(key, "", lease),
			want: becomes(row(ledger.StateDeleting), deleting)},
		{name: "deleting, without a lease", row: row(ledger.StateDeleting, leaseUntil(never)), by: ledger.Delete(key, "", lease),
			want: becomes(row(ledger.StateDeleting), deleting)},
		{name: "uploading", row: row(ledger.StateUploading), by: ledger.Delete(key, "", lease),
			want: becomes(row(ledger.StateUploading), stray(fence, soon), deleting)},
		{name: "an eviction, without a lease", row: row(ledger.StateDeleting, leaseUntil(never), evicting), by: ledger.Delete(key, "", lease),
			want: becomes(row(ledger.StateDeleting, evicting), deleting)},
		{name: "an eviction, without a lease, with an operation", row: row(ledger.StateDeleting, leaseUntil(never), evicting),
			by: ledger.Delete(key, "delete", lease), want: becomes(row(ledger.StateDeleting), deleting, operation("delete"))},
	}
	for _, state := range states {
		switch state {
		case ledger.StateDeleted, ledger.StateDeleting, ledger.StateUploading:
		default:
			steps = append(steps, step{name: string(state), row: row(state), by: ledger.Delete(key, "", lease), want: becomes(row(state), deleting)})
		}
	}
	check(t, steps)
}

func TestRepeatDelete(t *testing.T) {
	t.Parallel()
	steps := []step{
		{name: "no row", by: ledger.RepeatDelete(key, "delete"), err: notFound},
		{name: "an eviction", row: row(ledger.StateDeleting, evicting), by: ledger.RepeatDelete(key, "delete"),
			want: becomes(row(ledger.StateDeleting), operation("delete"))},
		{name: "another operation", row: row(ledger.StateDeleting), by: ledger.RepeatDelete(key, "delete"),
			want: becomes(row(ledger.StateDeleting), later("delete"))},
		{name: "the same operation", row: row(ledger.StateDeleting, operation("delete")), by: ledger.RepeatDelete(key, "delete"), repeats: true},
		{name: "a known operation", row: row(ledger.StateDeleting, later("delete")), by: ledger.RepeatDelete(key, "delete"), repeats: true},
		{name: "too many operations", row: row(ledger.StateDeleting, manyLater), by: ledger.RepeatDelete(key, "delete")},
		{name: "no operation", row: row(ledger.StateDeleting), by: ledger.RepeatDelete(key, "")},
	}
	for _, state := range states {
		if state != ledger.StateDeleting {
			steps = append(steps, step{name: string(state), row: row(state), by: ledger.RepeatDelete(key, "delete")})
		}
	}
	check(t, steps)
}

// manyLater adds as many operations as a row can keep.
func manyLater(c *ledger.Copy) {
	for i := range 64 {
		later(fmt.Sprint(i))(c)
	}
}

// later adds an operation to those that asked for a delete later.
func later(id string) func(c *ledger.Copy) {
	return func(c *ledger.Copy) { c.LaterDeletes = append(slices.Clone(c.LaterDeletes), id) }
}

func TestEvict(t *testing.T) {
	t.Parallel()
	steps := []step{{name: "no row", by: ledger.Evict(row(ledger.StateReady), lease), err: notFound}}
	for name, change := range map[string]func(c *ledger.Copy){
		"used since":    func(c *ledger.Copy) { c.LastUsedAt = now },
		"claimed since": func(c *ledger.Copy) { c.Fence++ },
		"another file":  func(c *ledger.Copy) { c.FileID = "f2" },
	} {
		steps = append(steps, step{name: name, row: row(ledger.StateReady, change), by: ledger.Evict(row(ledger.StateReady), lease)})
	}
	for _, state := range states {
		s := step{name: string(state), row: row(state), by: ledger.Evict(row(state), lease)}
		if state == ledger.StateReady {
			s.want = becomes(s.row, deleting, evicting)
		}
		steps = append(steps, s)
	}
	check(t, steps)
}

func TestResumeDelete(t *testing.T) {
	t.Parallel()
	begun := row(ledger.StateDeleting, leaseUntil(never), evicting)
	check(t, []step{
		{name: "no row", by: ledger.ResumeDelete(begun, lease), err: notFound},
		{name: "no lease", row: begun, by: ledger.ResumeDelete(begun, lease), want: becomes(row(ledger.StateDeleting, evicting), deleting)},
		{name: "a lease runs", row: row(ledger.StateDeleting), by: ledger.ResumeDelete(begun, lease)},
		{name: "claimed since", row: row(ledger.StateDeleting, leaseUntil(never), func(c *ledger.Copy) { c.Fence++ }), by: ledger.ResumeDelete(begun, lease)},
		{name: "made again since", row: row(ledger.StatePending), by: ledger.ResumeDelete(begun, lease)},
	})
}

func TestStopEviction(t *testing.T) {
	t.Parallel()
	stop := ledger.StopEviction(key, fence)
	steps := []step{
		{name: "no row", by: stop, err: notFound},
		{name: "an eviction", row: row(ledger.StateDeleting, evicting), by: stop, want: becomes(row(ledger.StateDeleting, evicting), func(c *ledger.Copy) {
			c.State, c.Evicting, c.Error, c.Attempts = ledger.StateReady, false, nil, 0
			c.NextAttemptAt, c.LeaseUntil = never, never
		})},
		{name: "another fence", row: row(ledger.StateDeleting, evicting), by: ledger.StopEviction(key, fence-1)},
	}
	for _, state := range states {
		s := step{name: string(state), row: row(state), by: stop}
		if state == ledger.StateReady {
			s.repeats = true
		}
		steps = append(steps, s)
	}
	check(t, steps)
}

func TestFinishDelete(t *testing.T) {
	t.Parallel()
	evicted := becomesValue(row(ledger.StateDeleting), deleted, func(c *ledger.Copy) {
		c.State, c.ReadyAt, c.LastUsedAt = ledger.StateEvicted, before, before
	})
	withoutFile := becomesValue(row(ledger.StateDeleting), func(c *ledger.Copy) {
		c.FileID, c.RemoteName, c.ExpiresAt, c.UploadedAt = "", "", never, never
	})
	check(t, []step{
		{name: "no row", by: ledger.FinishDelete(key, fence, ledger.StateDeleted, settling), err: notFound},
		{name: "deleting", row: row(ledger.StateDeleting), by: ledger.FinishDelete(key, fence, ledger.StateDeleted, settling),
			want: becomes(row(ledger.StateDeleting), deleted)},
		{name: "deleting, without a lease", row: row(ledger.StateDeleting, leaseUntil(never)), by: ledger.FinishDelete(key, fence, ledger.StateDeleted, settling),
			want: becomes(row(ledger.StateDeleting), deleted)},
		{name: "a stray that has settled", row: row(ledger.StateDeleting, stray(3, now.Add(-settling))), by: ledger.FinishDelete(key, fence, ledger.StateDeleted, settling),
			want: becomes(row(ledger.StateDeleting, stray(3, now.Add(-settling))), deleted, lookAt(now.Add(settling)))},
		{name: "a stray that has not", row: row(ledger.StateDeleting, stray(3, now.Add(time.Second-settling))), by: ledger.FinishDelete(key, fence, ledger.StateDeleted, settling)},
		{name: "a file that was given up", row: row(ledger.StateDeleting, givenUp(3, "f0", before)), by: ledger.FinishDelete(key, fence, ledger.StateDeleted, settling)},
		{name: "an eviction with strays", row: row(ledger.StateDeleting, evicting, stray(3, now), givenUp(4, "f0", before)),
			by: ledger.FinishDelete(key, fence, ledger.StateEvicted, settling), want: becomes(evicted, stray(3, now), givenUp(4, "f0", before), lookAt(now))},
		{name: "an eviction", row: row(ledger.StateDeleting, evicting), by: ledger.FinishDelete(key, fence, ledger.StateEvicted, settling), want: &evicted},
		{name: "an eviction whose copy a caller has deleted meanwhile", row: row(ledger.StateDeleting), by: ledger.FinishDelete(key, fence, ledger.StateEvicted, settling), want: &withoutFile},
		{name: "under an older fence", row: row(ledger.StateDeleting), by: ledger.FinishDelete(key, fence-1, ledger.StateDeleted, settling)},
		{name: "uploading", row: row(ledger.StateUploading), by: ledger.FinishDelete(key, fence, ledger.StateDeleted, settling)},
		{name: "again", row: row(ledger.StateDeleted), by: ledger.FinishDelete(key, fence, ledger.StateDeleted, settling), repeats: true},
		{name: "again, to another state", row: row(ledger.StateDeleted), by: ledger.FinishDelete(key, fence, ledger.StateEvicted, settling)},
	})
}

func TestFailDelete(t *testing.T) {
	t.Parallel()
	f := ledger.Failure{Error: reason, Again: true, After: time.Minute}
	attempted := ledger.Failure{Error: reason, Attempted: true}
	check(t, []step{
		{name: "attempted", row: row(ledger.StateDeleting), by: ledger.FailDelete(key, fence, attempted),
			want: becomes(row(ledger.StateDeleting), failed(ledger.StateDeleting, never), func(c *ledger.Copy) { c.Attempts++ })},
		{name: "no row", by: ledger.FailDelete(key, fence, f), err: notFound},
		{name: "deleting", row: row(ledger.StateDeleting), by: ledger.FailDelete(key, fence, f),
			want: becomes(row(ledger.StateDeleting), failed(ledger.StateDeleting, now.Add(time.Minute)))},
		{name: "deleting, never again", row: row(ledger.StateDeleting), by: ledger.FailDelete(key, fence, ledger.Failure{Error: reason}),
			want: becomes(row(ledger.StateDeleting), failed(ledger.StateDeleting, never))},
		{name: "under an older fence", row: row(ledger.StateDeleting), by: ledger.FailDelete(key, fence-1, f)},
		{name: "deleted", row: row(ledger.StateDeleted), by: ledger.FailDelete(key, fence, f)},
		{name: "uploading", row: row(ledger.StateUploading), by: ledger.FailDelete(key, fence, f)},
	})
}

func TestNoteLook(t *testing.T) {
	t.Parallel()
	found := ledger.Look{GivenUp: []ledger.Stray{{Fence: 5, FileID: "f5"}}, Fences: []int64{5}}
	gone := ledger.Look{Gone: []string{"f1", "f3"}}
	strays := []func(c *ledger.Copy){stray(5, before), stray(6, now), givenUp(3, "f3", before)}
	steps := []step{
		{name: "no row", by: ledger.NoteLook(key, 0, gone), err: notFound},
		{name: "found", row: row(ledger.StateReady, strays...), by: ledger.NoteLook(key, 0, found),
			want: becomes(row(ledger.StateReady, stray(6, now), givenUp(3, "f3", before), givenUp(5, "f5", now)), lookAt(now))},
		{name: "found, and in use", row: row(ledger.StateReady, strays...), by: ledger.NoteLook(key, 0, ledger.Look{GivenUp: []ledger.Stray{{FileID: "f1"}}})},
		{name: "found by the attempt", row: row(ledger.StateUploading, strays...), by: ledger.NoteLook(key, fence, found),
			want: becomes(row(ledger.StateUploading, stray(6, now), givenUp(3, "f3", before), givenUp(5, "f5", now)))},
		{name: "found by another", row: row(ledger.StateUploading, strays...), by: ledger.NoteLook(key, fence-1, found)},
		{name: "found by none", row: row(ledger.StateUploading, strays...), by: ledger.NoteLook(key, 0, found)},
		{name: "found while it is deleted", row: row(ledger.StateDeleting, strays...), by: ledger.NoteLook(key, 0, found),
			want: becomes(row(ledger.StateDeleting, stray(6, now), givenUp(3, "f3", before), givenUp(5, "f5", now)))},
		{name: "gone", row: row(ledger.StateReady, strays...), by: ledger.NoteLook(key, 0, gone),
			want: becomes(row(ledger.StateReady, stray(5, before), stray(6, now)), lookAt(now))},
		{name: "gone while it is deleted", row: row(ledger.StateDeleting, append(strays, leaseUntil(never))...), by: ledger.NoteLook(key, 0, gone),
			want: becomes(row(ledger.StateDeleting, stray(5, before), stray(6, now), leaseUntil(never), nextAttempt(now)), noFile)},
		{name: "gone while a client deletes it", row: row(ledger.StateDeleting, strays...), by: ledger.NoteLook(key, fence, gone),
			want: becomes(row(ledger.StateDeleting, stray(5, before), stray(6, now)), noFile)},
		{name: "nothing", row: row(ledger.StateDeleted, strays...), by: ledger.NoteLook(key, 0, ledger.Look{Before: before, Next: time.Minute}),
			want: becomes(row(ledger.StateDeleted, stray(6, now), givenUp(3, "f3", before)), lookAt(now.Add(time.Minute)))},
		{name: "all", row: row(ledger.StateFailed, strays...), by: ledger.NoteLook(key, 0, ledger.Look{Before: now, Gone: []string{"f3"}, Next: time.Minute}),
			want: becomes(row(ledger.StateFailed))},
	}
	check(t, steps)
}

// Arguments that can't be stored are refused before the row is read. No row has a key
// that can't be stored.
func TestCheckRefusesArguments(t *testing.T) {
	t.Parallel()
	const bad = "a\x00b"
	want := func(change func(w *ledger.Wanted)) ledger.Wanted {
		w := wanted
		change(&w)
		return w
	}
	noRow := key
	noRow.Account = bad
	for name, c := range map[string]struct {
		by ledger.Transition
		is error // what the error wraps; nil: none of these
	}{
		"a negative size":         {ledger.Claim(want(func(w *ledger.Wanted) { w.Size = -1 }), lease), nil},
		"a key to claim":          {ledger.Claim(want(func(w *ledger.Wanted) { w.Key = noRow }), lease), cas.ErrInvalidText},
		"a name":                  {ledger.Request(want(func(w *ledger.Wanted) { w.Name = bad })), cas.ErrInvalidText},
		"a media type":            {ledger.Enter(want(func(w *ledger.Wanted) { w.MediaType = "\xff" }), "f1"), cas.ErrInvalidText},
		"an operation":            {ledger.Claim(want(func(w *ledger.Wanted) { w.OperationID = bad }), lease), cas.ErrInvalidText},
		"no file id":              {ledger.Enter(wanted, ""), nil},
		"a file id":               {ledger.Complete(key, fence, providers.RemoteFile{ID: bad, Status: providers.StatusReady}), cas.ErrInvalidText},
		"a failed file":           {ledger.Complete(key, fence, providers.RemoteFile{ID: "f1", Status: providers.StatusFailed}), nil},
		"a failure to uploading":  {ledger.Fail(key, fence, ledger.Failure{State: ledger.StateUploading}), nil},
		"a failed delete to lost": {ledger.FailDelete(key, fence, ledger.Failure{State: ledger.StateLost}), nil},
		"a delete to ready":       {ledger.FinishDelete(key, fence, ledger.StateReady, settling), nil},
		"an operation to delete":  {ledger.Delete(key, bad, lease), cas.ErrInvalidText},
		"a file to give up":       {ledger.Fail(key, fence, ledger.Failure{State: ledger.StateFailed, GivenUp: bad}), cas.ErrInvalidText},
		"a delete with a file":    {ledger.FailDelete(key, fence, ledger.Failure{GivenUp: "f1"}), nil},
		"a look without an id":    {ledger.NoteLook(key, 0, ledger.Look{GivenUp: []ledger.Stray{{Fence: 1}}}), nil},
		"a look with an odd id":   {ledger.NoteLook(key, 0, ledger.Look{GivenUp: []ledger.Stray{{FileID: bad}}}), cas.ErrInvalidText},
		"a key to extend":         {ledger.ExtendLease(noRow, fence, lease), ledger.ErrNotFound},
		"a key to evict":          {ledger.Evict(ledger.Copy{Key: noRow}, lease), ledger.ErrNotFound},
		"a key to lose":           {ledger.Lose(noRow, "f1", 1, lease), ledger.ErrNotFound},
	} {
		err := c.by.Check()
		for _, wrapped := range []error{cas.ErrInvalidText, ledger.ErrNotFound} {
			if err == nil || errors.Is(err, wrapped) != (wrapped == c.is) {
				t.Errorf("%s: error %v; want one that wraps %v", name, err, c.is)
			}
		}
	}
}

func TestRenewalMargin(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{
		-time.Hour: 0, 0: 0, 100 * time.Second: 10 * time.Second, 10 * 24 * time.Hour: 24 * time.Hour, 60 * 24 * time.Hour: 24 * time.Hour,
	} {
		if got := ledger.RenewalMargin(life); got != want {
			t.Errorf("the margin of a life of %s is %s, want %s", life, got, want)
		}
	}
}
