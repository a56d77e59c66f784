package indextest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// superseded brings a row to where the claim c is outdated, in every way there is,
// and calls test each time.
func superseded(t *testing.T, x Index, test func(t *testing.T, c ledger.Copy)) {
	for i, s := range []struct {
		name string
		by   func(t *testing.T, w ledger.Wanted)
	}{
		{"another claim", func(t *testing.T, w ledger.Wanted) { claim(t, x, w, long) }},
		{"another claim, completed", func(t *testing.T, w ledger.Wanted) { makeReady(t, x, w, "theirs") }},
		{"another claim, failed", func(t *testing.T, w ledger.Wanted) {
			fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StateFailed, Error: trouble()})
		}},
		{"a delete", func(t *testing.T, w ledger.Wanted) { startDelete(t, x, w.Key, "", long) }},
		{"a finished delete", func(t *testing.T, w ledger.Wanted) {
			finishDelete(t, x, startDelete(t, x, w.Key, "", long), ledger.StateDeleted)
		}},
		{"a request", func(t *testing.T, w ledger.Wanted) { request(t, x, w) }},
	} {
		t.Run("superseded by "+s.name, func(t *testing.T) {
			w := wanted(t, i)
			c := claim(t, x, w, 0)
			s.by(t, w)
			before := current(t, x, w.Key, w.OperationID)
			test(t, c)
			same(t, "the row", current(t, x, w.Key, w.OperationID), before)
		})
	}
}

var extendLeaseTests = []test{
	{"makes a lease run for that long from now", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		c := claim(t, x, w, 0)
		if _, held, err := x.Change(t.Context(), ledger.ExtendLease(w.Key, c.Fence, long)); err != nil || !held {
			t.Fatalf("ExtendLease: held %v, error %v", held, err)
		}
		c.LeaseUntil = c.LeaseUntil.Add(long)
		sameCopy(t, "the row", current(t, x, w.Key, w.OperationID), c)
		if _, won, err := x.Change(t.Context(), ledger.Claim(w, long)); err != nil || won {
			t.Errorf("Claim of an extended lease: won %v, error %v", won, err)
		}
		if _, held, err := x.Change(t.Context(), ledger.ExtendLease(w.Key, c.Fence, 0)); err != nil || !held {
			t.Fatalf("ExtendLease to none: held %v, error %v", held, err)
		}
		claim(t, x, w, long)
	}},
	{"does so while processing and deleting", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		c := complete(t, x, claim(t, x, w, 0), file("1", providers.StatusProcessing, time.Time{}))
		if _, held, err := x.Change(t.Context(), ledger.ExtendLease(w.Key, c.Fence, long)); err != nil || !held {
			t.Errorf("ExtendLease while processing: held %v, error %v", held, err)
		}
		c = startDelete(t, x, w.Key, "", 0)
		if _, held, err := x.Change(t.Context(), ledger.ExtendLease(w.Key, c.Fence, long)); err != nil || !held {
			t.Errorf("ExtendLease while deleting: held %v, error %v", held, err)
		}
		if due, err := x.DueCopies(t.Context(), []string{account}, 10); err != nil || len(due) != 0 {
			t.Errorf("due are %+v, error %v", due, err)
		}
	}},
	{"reports false to zombies, and changes nothing", func(t *testing.T, x Index) {
		superseded(t, x, func(t *testing.T, c ledger.Copy) {
			if _, held, err := x.Change(t.Context(), ledger.ExtendLease(c.Key, c.Fence, long)); err != nil || held {
				t.Errorf("ExtendLease: held %v, error %v", held, err)
			}
		})
	}},
	{"reports false where the lease was ended", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		if _, held, err := x.Change(t.Context(), ledger.ExtendLease(c.Key, c.Fence, long)); err != nil || held {
			t.Errorf("ExtendLease: held %v, error %v", held, err)
		}
		asStored(t, x, c)
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error {
			_, _, err := x.Change(t.Context(), ledger.ExtendLease(k, 1, long))
			return err
		})
	}},
}

// noRow tests a call with keys of which there is no row.
func noRow(t *testing.T, call func(k ledger.Key) error) {
	noCopy(t, "without a row", call(wanted(t, 999).Key))
	for _, text := range []string{"a\x00b", "\xff"} {
		k := wanted(t, 999).Key
		k.Purpose = text
		noCopy(t, fmt.Sprintf("with the purpose %q", text), call(k))
	}
}

var completeCopyTests = []test{
	{"records a file that is ready", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StatePending, Error: trouble(), MayTurnUp: true, Again: true})
		c := claim(t, x, w, long)
		f := file("file-1", providers.StatusReady, later(long))
		got := complete(t, x, c, f)
		want := c
		want.State, want.FileID, want.RemoteName, want.ExpiresAt = ledger.StateReady, f.ID, f.Name, f.ExpiresAt
		want.Error, want.Attempts = nil, 0
		want.ReadyAt, want.UploadedAt, want.LookAt, want.LeaseUntil = got.ReadyAt, got.ReadyAt, got.ReadyAt, time.Time{}
		same(t, "the row", got, want)
		asStored(t, x, got)
		if got.ReadyAt.Before(got.CreatedAt) || !got.ExpiresAt.Equal(f.ExpiresAt) {
			t.Errorf("created at %s, ready at %s, expires at %s; want %s", got.CreatedAt, got.ReadyAt, got.ExpiresAt, f.ExpiresAt)
		}
	}},
	{"records a file in process, and keeps the lease", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StatePending, Error: trouble(), MayTurnUp: true, Again: true})
		c := claim(t, x, w, long)
		f := file("file-1", providers.StatusProcessing, time.Time{})
		got := complete(t, x, c, f)
		want := c
		want.State, want.FileID, want.RemoteName = ledger.StateProcessing, f.ID, f.Name
		want.Error, want.UploadedAt = nil, got.UploadedAt
		same(t, "the row", got, want)
		asStored(t, x, got)
		if got.UploadedAt.Before(got.CreatedAt) {
			t.Errorf("created at %s, uploaded at %s", got.CreatedAt, got.UploadedAt)
		}
		// Then as ready, also after another gateway takes it over.
		if _, held, err := x.Change(t.Context(), ledger.ExtendLease(w.Key, c.Fence, 0)); err != nil || !held {
			t.Fatalf("ExtendLease: held %v, error %v", held, err)
		}
		c = claim(t, x, w, long)
		if c.State != ledger.StateProcessing || c.FileID != f.ID || c.Attempts != got.Attempts || !c.UploadedAt.Equal(got.UploadedAt) {
			t.Errorf("it was taken over as %+v", c)
		}
		got = complete(t, x, c, file("file-1", providers.StatusReady, time.Time{}))
		if got.State != ledger.StateReady || got.Attempts != 0 || !got.LeaseUntil.IsZero() || got.ReadyAt.IsZero() {
			t.Errorf("it became %+v", got)
		}
	}},
	{"replaces a file that is renewed", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		w.Margin = margin
		old := complete(t, x, claim(t, x, w, long), file("old", providers.StatusReady, later(margin/2)))
		c := claim(t, x, w, long)
		if c.FileID != "old" || c.RemoteName != old.RemoteName || !c.ExpiresAt.Equal(old.ExpiresAt) || c.State != ledger.StateUploading {
			t.Errorf("while it is renewed the row is %+v", c)
		}
		got := complete(t, x, c, file("new", providers.StatusReady, time.Time{}))
		kept := givenUp(c)
		kept[0].KeepUntil = old.ExpiresAt // callers have been told so
		same(t, "the strays: the old file,", got.Strays, kept)
		asStored(t, x, got)
		usage, err := x.CopyUsage(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the usage: both files,", usage, []ledger.Usage{{Purpose: w.Purpose, Files: 2, Bytes: 2 * size}})
		if got.FileID != "new" || got.RemoteName != "remote-new.pdf" || !got.ExpiresAt.IsZero() || !got.ReadyAt.After(old.ReadyAt) {
			t.Errorf("after it was renewed the row is %+v", got)
		}
	}},
	{"may be repeated", func(t *testing.T, x Index) {
		for i, status := range []providers.Status{providers.StatusReady, providers.StatusProcessing} {
			c := claim(t, x, wanted(t, i), long)
			first := complete(t, x, c, file("1", status, later(long)))
			same(t, "the row completed again", complete(t, x, c, file("1", status, first.ExpiresAt)), first)
		}
	}},
	{"refuses a file that was given up", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		lose(t, x, makeReady(t, x, w, "1"), 3, long)
		c := claim(t, x, w, long)
		got, held, err := x.Change(t.Context(), ledger.Complete(w.Key, c.Fence, file("1", providers.StatusReady, time.Time{})))
		if err != nil || held {
			t.Errorf("Complete: held %v, error %v", held, err)
		}
		same(t, "the row", got, c)
		complete(t, x, c, file("2", providers.StatusReady, time.Time{}))
	}},
	{"is not held for another file, once completed", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		got, held, err := x.Change(t.Context(), ledger.Complete(c.Key, c.Fence, file("2", providers.StatusReady, time.Time{})))
		if err != nil || held {
			t.Errorf("Complete: held %v, error %v", held, err)
		}
		same(t, "the row", got, c)
	}},
	{"brings back nothing that was lost", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		lost := lose(t, x, c, 3, long)
		got, held, err := x.Change(t.Context(), ledger.Complete(c.Key, c.Fence, file("1", providers.StatusReady, time.Time{})))
		if err != nil || held {
			t.Errorf("Complete: held %v, error %v", held, err)
		}
		same(t, "the row", got, lost)
	}},
	{"works after the lease ran out, until another claims the row", func(t *testing.T, x Index) {
		complete(t, x, claim(t, x, wanted(t, 0), 0), file("1", providers.StatusReady, time.Time{}))
	}},
	{"reports false to zombies, and changes nothing", func(t *testing.T, x Index) {
		superseded(t, x, func(t *testing.T, c ledger.Copy) {
			for _, status := range []providers.Status{providers.StatusReady, providers.StatusProcessing} {
				got, held, err := x.Change(t.Context(), ledger.Complete(c.Key, c.Fence, file("mine", status, time.Time{})))
				if err != nil || held {
					t.Errorf("Complete: held %v, error %v", held, err)
				}
				asStored(t, x, got)
			}
		})
	}},
	{"refuses invalid remote files", func(t *testing.T, x Index) {
		c := claim(t, x, wanted(t, 0), long)
		for what, f := range map[string]providers.RemoteFile{
			"a failed file":      file("1", providers.StatusFailed, time.Time{}),
			"a file of no state": file("1", "", time.Time{}),
			"a file without id":  file("", providers.StatusReady, time.Time{}),
		} {
			_, _, err := x.Change(t.Context(), ledger.Complete(c.Key, c.Fence, f))
			refused(t, what, err)
		}
		for _, text := range []string{"a\x00b", "\xff"} {
			_, _, err := x.Change(t.Context(), ledger.Complete(c.Key, c.Fence, file(text, providers.StatusReady, time.Time{})))
			refusedText(t, fmt.Sprintf("the file %q", text), err)
		}
		asStored(t, x, c)
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error {
			_, _, err := x.Change(t.Context(), ledger.Complete(k, 1, file("1", providers.StatusReady, time.Time{})))
			return err
		})
	}},
}

var failCopyTests = []test{
	{"records the failure, and ends the lease", func(t *testing.T, x Index) {
		n := 0
		for _, from := range []ledger.State{ledger.StateUploading, ledger.StateProcessing} {
			for _, f := range []ledger.Failure{
				{State: ledger.StatePending, Error: trouble(), Again: true, After: long},
				{State: ledger.StatePending, Error: trouble(), MayTurnUp: true, Again: true},
				{State: ledger.StateFailed, Error: trouble()},
				{State: ledger.StateFailed, After: long},
				{State: ledger.StateFailed, GivenUp: "wrong"},
				{State: ledger.StateReady, Error: trouble(), Again: true, After: long},
				{State: ledger.StateReady, Error: trouble(), MayTurnUp: true},
				{State: ledger.StateDeleting, Error: trouble(), Again: true},
			} {
				if from == ledger.StateProcessing && f.State == ledger.StateReady {
					continue // refused, see below
				}
				n++
				w := wanted(t, n)
				w.Margin = margin
				complete(t, x, claim(t, x, w, long), file("old", providers.StatusReady, later(margin/2)))
				c := claim(t, x, w, long)
				if from == ledger.StateProcessing {
					c = complete(t, x, c, file("new", providers.StatusProcessing, later(long)))
				}
				got := fail(t, x, c, f)
				want := c
				want.State, want.Error, want.LeaseUntil = f.State, f.Error, time.Time{}
				if f.State != ledger.StateReady {
					if from == ledger.StateUploading || !f.MayTurnUp { // a file in process that may turn up is adopted
						want.Strays = givenUp(c)
					}
					want.FileID, want.RemoteName, want.ExpiresAt, want.UploadedAt = "", "", time.Time{}, time.Time{}
				}
				if f.MayTurnUp {
					want.Strays = strayOf(want, c.CreatedAt)
				}
				if f.GivenUp != "" {
					want.Strays = append(slices.Clone(want.Strays), ledger.Stray{Fence: c.Fence, FileID: f.GivenUp, At: c.CreatedAt})
				}
				if f.State == ledger.StateFailed || f.State == ledger.StateReady {
					want.LookAt = lookAfter(want, got)
				}
				if f.Again {
					want.NextAttemptAt = c.LeaseUntil.Add(f.After - long)
				}
				sameCopy(t, fmt.Sprintf("a %s row failed with %+v", from, f), got, want)
				asStored(t, x, got)
			}
		}
	}},
	{"keeps earlier strays", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StatePending, MayTurnUp: true, Again: true})
		if c := fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StatePending, Again: true}); len(c.Strays) != 1 || c.Strays[0].Fence != 1 || c.Attempts != 2 {
			t.Errorf("the row is %+v", c)
		}
	}},
	{"keeps every error", func(t *testing.T, x Index) {
		for i, e := range []*providers.Error{nil, {}, trouble(), {Kind: providers.KindQuota, Hint: "日本"}} {
			c := fail(t, x, claim(t, x, wanted(t, i), long), ledger.Failure{State: ledger.StateFailed, Error: e})
			same(t, "the error", c.Error, e)
			asStored(t, x, c)
		}
	}},
	{"replaces the parts of an error that can't be stored", func(t *testing.T, x Index) {
		e := &providers.Error{Provider: "a\x00", Op: "\xff", Kind: "\x00", Code: "\xc3", Message: "a\x00b\xff\\u0000", Hint: "\x00"}
		c := fail(t, x, claim(t, x, wanted(t, 0), long), ledger.Failure{State: ledger.StateFailed, Error: e})
		same(t, "the error", c.Error, &providers.Error{
			Provider: "a\ufffd", Op: "\ufffd", Kind: "\ufffd", Code: "\ufffd", Message: "a\ufffdb\ufffd\\u0000", Hint: "\ufffd",
		})
		asStored(t, x, c)
	}},
	{"may be repeated", func(t *testing.T, x Index) {
		for i, state := range []ledger.State{ledger.StatePending, ledger.StateFailed, ledger.StateDeleting} {
			c := claim(t, x, wanted(t, i), long)
			f := ledger.Failure{State: state, Error: trouble(), Again: true, After: long}
			first := fail(t, x, c, f)
			same(t, "the row failed again", fail(t, x, c, f), first)
		}
	}},
	{"undoes no completion", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		got, held, err := x.Change(t.Context(), ledger.Fail(c.Key, c.Fence, ledger.Failure{State: ledger.StatePending}))
		if err != nil || held {
			t.Errorf("Fail: held %v, error %v", held, err)
		}
		same(t, "the row", got, c)
	}},
	{"reports false to zombies, and changes nothing", func(t *testing.T, x Index) {
		superseded(t, x, func(t *testing.T, c ledger.Copy) {
			got, held, err := x.Change(t.Context(), ledger.Fail(c.Key, c.Fence, ledger.Failure{State: ledger.StateFailed, Error: trouble()}))
			if err != nil || held {
				t.Errorf("Fail: held %v, error %v", held, err)
			}
			asStored(t, x, got)
		})
	}},
	{"refuses states that a failure can't lead to", func(t *testing.T, x Index) {
		c := claim(t, x, wanted(t, 0), long)
		for _, state := range []ledger.State{
			"", ledger.StateUploading, ledger.StateProcessing, ledger.StateLost, ledger.StateEvicted, ledger.StateDeleted, "odd",
			ledger.StateReady, // there is no earlier file
		} {
			_, held, err := x.Change(t.Context(), ledger.Fail(c.Key, c.Fence, ledger.Failure{State: state}))
			refused(t, "Fail to "+string(state), err)
			if held {
				t.Errorf("Fail to %q was held", state)
			}
		}
		asStored(t, x, c)
		c = complete(t, x, c, file("1", providers.StatusProcessing, time.Time{}))
		_, _, err := x.Change(t.Context(), ledger.Fail(c.Key, c.Fence, ledger.Failure{State: ledger.StateReady}))
		refused(t, "Fail of a file in process to ready", err)
		asStored(t, x, c)
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error {
			_, _, err := x.Change(t.Context(), ledger.Fail(k, 1, ledger.Failure{State: ledger.StateFailed}))
			return err
		})
	}},
}
