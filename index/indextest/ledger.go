package indextest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// CopyAger is an ability to give the index that is tested, beside those it has for
// real, as TimeSetter is.
type CopyAger interface {
	// AgeCopy makes every time that the copy's row has earlier by that much.
	AgeCopy(t testing.TB, k ledger.Key, by time.Duration)
}

// age lets time pass for a copy, or skips the test.
func age(t testing.TB, x Index, k ledger.Key, by time.Duration) {
	t.Helper()
	ager, ok := x.(CopyAger)
	if !ok {
		t.Skip("the index has no AgeCopy")
	}
	ager.AgeCopy(t, k, by)
}

const (
	provider = "kimi"
	account  = "0123456789ab@api.example"
	// long is a lease that doesn't run out during a test, and an age far beyond the
	// difference of clocks.
	long = 1000 * time.Hour
)

// wanted is a copy of its own for each test and number. Its operation is its own,
// too.
func wanted(t testing.TB, n int) ledger.Wanted {
	return ledger.Wanted{
		Key: ledger.Key{
			Digest: digest(t, n), Provider: provider, Account: account, Purpose: "file-extract", Extension: ".pdf",
		},
		Name: "Größe 文件.pdf", MediaType: "application/pdf", Size: size,
		OperationID: fmt.Sprintf("%s operation %d", t.Name(), n),
	}
}

// other is w as another caller would request it.
func other(w ledger.Wanted) ledger.Wanted {
	w.Name, w.MediaType, w.Size, w.OperationID = "other.pdf", "application/x-other", size+1, w.OperationID+" of another"
	return w
}

// file is a remote file for a copy.
func file(id string, status providers.Status, expires time.Time) providers.RemoteFile {
	return providers.RemoteFile{ID: id, Name: "remote-" + id + ".pdf", Size: size, ExpiresAt: expires, Status: status}
}

// later is a time that is far from the present, by the accuracy of all databases.
func later(by time.Duration) time.Time { return time.Now().Add(by).UTC().Truncate(time.Microsecond) }

// trouble is an error with everything in it.
func trouble() *providers.Error {
	return &providers.Error{
		Provider: provider, Op: providers.OpUpload, Kind: providers.KindTransient, Status: 503, Code: "engine_overloaded",
		Message: "überlastet <b>\"&\u2028\\u0000", RetryAfter: 1<<62 + 1, TooMany: true, Hint: "later 😀",
	}
}

// request requests and fails the test where that fails.
func request(t testing.TB, x Index, w ledger.Wanted) ledger.Copy {
	t.Helper()
	c, _, err := x.Change(t.Context(), ledger.Request(w))
	if err != nil {
		t.Fatalf("Request: %v", err)
	}
	return c
}

// enter enters a copy that was noted before, and fails the test where that fails.
func enter(t testing.TB, x Index, w ledger.Wanted, fileID string) ledger.Copy {
	t.Helper()
	c, _, err := x.Change(t.Context(), ledger.Enter(w, fileID))
	if err != nil {
		t.Fatalf("Enter: %v", err)
	}
	return c
}

// claim claims and fails the test unless the claim is won.
func claim(t testing.TB, x Index, w ledger.Wanted, lease time.Duration) ledger.Copy {
	t.Helper()
	c, won, err := x.Change(t.Context(), ledger.Claim(w, lease))
	if err != nil || !won {
		t.Fatalf("Claim: won %v, error %v; the row is %+v", won, err, c)
	}
	return c
}

// complete completes and fails the test unless the lease is held.
func complete(t testing.TB, x Index, c ledger.Copy, f providers.RemoteFile) ledger.Copy {
	t.Helper()
	done, held, err := x.Change(t.Context(), ledger.Complete(c.Key, c.Fence, f))
	if err != nil || !held {
		t.Fatalf("Complete: held %v, error %v; the row is %+v", held, err, done)
	}
	return done
}

// makeReady makes a copy.
func makeReady(t testing.TB, x Index, w ledger.Wanted, id string) ledger.Copy {
	t.Helper()
	return complete(t, x, claim(t, x, w, long), file(id, providers.StatusReady, time.Time{}))
}

// fail fails a copy, and the test unless the lease is held.
func fail(t testing.TB, x Index, c ledger.Copy, f ledger.Failure) ledger.Copy {
	t.Helper()
	failed, held, err := x.Change(t.Context(), ledger.Fail(c.Key, c.Fence, f))
	if err != nil || !held {
		t.Fatalf("Fail: held %v, error %v; the row is %+v", held, err, failed)
	}
	return failed
}

// startDelete claims a row to delete it, and fails the test unless that is won.
func startDelete(t testing.TB, x Index, k ledger.Key, operation string, lease time.Duration) ledger.Copy {
	t.Helper()
	c, won, err := x.Change(t.Context(), ledger.Delete(k, operation, lease))
	if err != nil || !won {
		t.Fatalf("Delete: won %v, error %v; the row is %+v", won, err, c)
	}
	return c
}

// startEviction claims a ready copy for its eviction, and fails the test unless that is
// granted.
func startEviction(t testing.TB, x Index, ready ledger.Copy) ledger.Copy {
	t.Helper()
	c, won, err := x.Change(t.Context(), ledger.Evict(ready, long))
	if err != nil || !won {
		t.Fatalf("Evict: won %v, error %v; the row is %+v", won, err, c)
	}
	return c
}

// finishDelete finishes a delete and fails the test unless the claim is held. Strays
// that end earlier than long from now don't prevent it.
func finishDelete(t testing.TB, x Index, c ledger.Copy, to ledger.State) {
	t.Helper()
	if _, held, err := x.Change(t.Context(), ledger.FinishDelete(c.Key, c.Fence, to, -2*long)); err != nil || !held {
		t.Fatalf("FinishDelete: held %v, error %v", held, err)
	}
}

// strayOf is the stray that an attempt leaves which ends now, or whose lease runs out.
func strayOf(c ledger.Copy, at time.Time) []ledger.Stray {
	return append(slices.Clone(c.Strays), ledger.Stray{Fence: c.Fence, At: at})
}

// takenOver returns the strays of a row from which another client takes over.
func takenOver(c ledger.Copy) []ledger.Stray {
	if c.State == ledger.StateUploading {
		return strayOf(c, c.LeaseUntil)
	}
	return c.Strays
}

// givenUp returns the strays of a row whose file is given up.
func givenUp(c ledger.Copy) []ledger.Stray {
	if c.FileID == "" {
		return c.Strays
	}
	at := c.UploadedAt
	if at.IsZero() {
		at = c.CreatedAt
	}
	return append(slices.Clone(c.Strays), ledger.Stray{FileID: c.FileID, At: at})
}

// lookAfter is when the strays of a settled row are looked for that has changed: at
// the time of the change, which is that of the returned row.
func lookAfter(want, got ledger.Copy) time.Time {
	switch {
	case len(want.Strays) == 0:
		return time.Time{}
	case got.LookAt.IsZero():
		return want.CreatedAt // a wrong time
	}
	return got.LookAt
}

// lose loses a copy's file and fails the test unless the row is lost then.
func lose(t testing.TB, x Index, c ledger.Copy, allowed int, window time.Duration) ledger.Copy {
	t.Helper()
	lost, _, err := x.Change(t.Context(), ledger.Lose(c.Key, c.FileID, allowed, window))
	if err != nil || lost.State != ledger.StateLost {
		t.Fatalf("Lose: error %v; the row is %+v", err, lost)
	}
	return lost
}

// current returns the row in any state, or the zero copy. It looks by key and by
// operation, and both must agree.
func current(t testing.TB, x Index, k ledger.Key, operation string) ledger.Copy {
	t.Helper()
	byKey, keyErr := x.Copy(t.Context(), k)
	byOperation, err := x.CopyOfOperation(t.Context(), operation)
	switch {
	case errors.Is(keyErr, ledger.ErrNotFound) && errors.Is(err, ledger.ErrNotFound):
		return ledger.Copy{}
	case errors.Is(keyErr, ledger.ErrNotFound) && err == nil && byOperation.State == ledger.StateDeleted:
		return byOperation
	case keyErr != nil || err != nil:
		t.Fatalf("Copy: %v, CopyOfOperation(%q): %v", keyErr, operation, err)
	}
	if diff := cmp.Diff(byKey, byOperation); diff != "" {
		t.Fatalf("Copy and CopyOfOperation(%q) differ (-Copy +CopyOfOperation):\n%s", operation, diff)
	}
	return byKey
}

// asStored fails the test unless the row is the one that a call returned.
func asStored(t testing.TB, x Index, returned ledger.Copy) {
	t.Helper()
	same(t, "the row that was returned, compared with the one that is stored,", current(t, x, returned.Key, returned.OperationID), returned)
}

// about is the allowed difference of times by the same clock.
var about = cmpopts.EquateApproxTime(10 * time.Minute)

// sameCopy fails the test where two rows differ, in times by more than a test takes.
func sameCopy(t testing.TB, what string, got, want ledger.Copy) {
	t.Helper()
	if diff := cmp.Diff(want, got, about); diff != "" {
		t.Errorf("%s is not as it should be (-want +got):\n%s", what, diff)
	}
}

// noCopy fails the test unless err is about a copy that isn't there, and not about
// the index.
func noCopy(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, ledger.ErrNotFound) || errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("%s: error %v; want one that wraps ledger.ErrNotFound only", what, err)
	}
}

// refused fails the test unless err is about the caller's values, and not about the
// index.
func refused(t testing.TB, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, cas.ErrIndexUnavailable) || errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("%s: error %v; want one that isn't the index's fault", what, err)
	}
}

// refusedText is refused for texts that can't be stored.
func refusedText(t testing.TB, what string, err error) {
	t.Helper()
	refused(t, what, err)
	if !errors.Is(err, cas.ErrInvalidText) {
		t.Errorf("%s: error %v; want one that wraps ErrInvalidText", what, err)
	}
}
