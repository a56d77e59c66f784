package indextest

import (
	"slices"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
)

// condemnUnreferenced condemns blobs without a use for an hour.
func condemnUnreferenced(t *testing.T, x Index, after cas.Cursor, limit int) collector.RetentionPage {
	t.Helper()
	page, err := x.CondemnUnreferenced(t.Context(), collector.RetentionQuery{Idle: time.Hour, After: after, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return page
}

var retentionTests = []test{
	{"condemns blobs without files, copies and uses", func(t *testing.T, x Index) {
		old := time.Now().Add(-2 * time.Hour)
		idle, fresh, suspected := blob(digest(t, 0), 0), blob(digest(t, 1), 0), blob(digest(t, 2), 0)
		filed, copied, lost, condemned, touched := blob(digest(t, 3), 0), blob(digest(t, 4), 0), blob(digest(t, 5), 0), blob(digest(t, 6), 0), blob(digest(t, 7), 0)
		commit(t, x, fresh)
		setTimeOf(t, x, suspected, cas.StateSuspect, old.Add(-time.Second))
		setTimeOf(t, x, condemned, cas.StateCondemned, old)
		for i, b := range []cas.Blob{idle, filed, copied, lost, touched} {
			setTimeOf(t, x, b, cas.StateLive, old.Add(time.Duration(i)*time.Second))
		}
		createFile(t, x, fileOf(t, 1, filed.Digest))
		w := wanted(t, 1)
		w.Digest = copied.Digest
		makeReady(t, x, w, "f1")
		w.Digest = lost.Digest
		lose(t, x, makeReady(t, x, w, "f2"), 0, time.Hour)
		if err := x.TouchBlobs(t.Context(), []cas.Digest{touched.Digest, digest(t, 99)}, time.Minute); err != nil {
			t.Fatal(err)
		}
		page := condemnUnreferenced(t, x, cas.Cursor{}, 100)
		want := []cas.Digest{suspected.Digest, idle.Digest, lost.Digest}
		if page.Seen != 6 || !slices.Equal(page.Condemned, want) {
			t.Errorf("CondemnUnreferenced returned %+v; want %v", page, want)
		}
		for _, b := range []cas.Blob{idle, suspected, lost, condemned} {
			expect(t, x, b.Digest, cas.StateCondemned, 0)
		}
		for _, b := range []cas.Blob{fresh, filed, copied, touched} {
			expect(t, x, b.Digest, cas.StateLive, 0)
		}
		if again := condemnUnreferenced(t, x, cas.Cursor{}, 100); len(again.Condemned) != 0 || again.Seen != 3 {
			t.Errorf("again it returned %+v", again)
		}
	}},
	{"begins when the last file goes", func(t *testing.T, x Index) {
		deleted, ended := blob(digest(t, 0), 0), blob(digest(t, 1), 0)
		for _, b := range []cas.Blob{deleted, ended} {
			setTimeOf(t, x, b, cas.StateLive, time.Now().Add(-2*time.Hour))
		}
		createFile(t, x, fileOf(t, 1, deleted.Digest))
		deleteFile(t, x, fileID(t, 1))
		expired(t, x, fileOf(t, 2, ended.Digest))
		expire(t, x)
		if page := condemnUnreferenced(t, x, cas.Cursor{}, 10); page.Seen != 2 || len(page.Condemned) != 0 {
			t.Errorf("CondemnUnreferenced returned %+v", page)
		}
	}},
	{"takes page after page", func(t *testing.T, x Index) {
		var want, got []cas.Digest
		for i := range 5 {
			b := blob(digest(t, i), 0)
			setTimeOf(t, x, b, cas.StateLive, time.Now().Add(-2*time.Hour+time.Duration(i)*time.Second))
			want = append(want, b.Digest)
		}
		var after cas.Cursor
		for _, seen := range []int{2, 2, 1} {
			page := condemnUnreferenced(t, x, after, 2)
			if page.Seen != seen {
				t.Errorf("a page has %d blobs; want %d", page.Seen, seen)
			}
			got, after = append(got, page.Condemned...), page.Next
		}
		same(t, "the condemned blobs", got, want)
	}},
	{"touches only what was not touched recently", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		setTimeOf(t, x, b, cas.StateLive, time.Now().Add(-2*time.Hour))
		if err := x.TouchBlobs(t.Context(), []cas.Digest{b.Digest}, 3*time.Hour); err != nil {
			t.Fatal(err)
		}
		if page := condemnUnreferenced(t, x, cas.Cursor{}, 10); len(page.Condemned) != 1 {
			t.Errorf("CondemnUnreferenced returned %+v", page)
		}
	}},
	{"knows for how long uses are recorded", func(t *testing.T, x Index) {
		var last time.Duration
		for i := range 3 {
			since, err := x.KeepRetention(t.Context(), time.Hour)
			if err != nil || since < last || since > time.Minute || (i == 0 && since != 0) {
				t.Errorf("KeepRetention returned %s after %s, error %v", since, last, err)
			}
			last = since
		}
		if since, err := x.KeepRetention(t.Context(), -time.Hour); err != nil || since != 0 {
			t.Errorf("after a gap KeepRetention returned %s, error %v", since, err)
		}
	}},
}
