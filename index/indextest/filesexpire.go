package indextest

import (
	"testing"
	"time"

	"casgate/cas"
)

var touchFilesTests = []test{
	{"records when files were read, and never goes back", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		first, second := createFile(t, x, fileOf(t, 1, d)), createFile(t, x, fullFile(t, 2, d))
		touch := func(read map[string]time.Time) {
			t.Helper()
			if err := x.TouchFiles(t.Context(), read); err != nil {
				t.Fatalf("TouchFiles: %v", err)
			}
			sameFile(t, "the first file", getFile(t, x, first.ID), first)
			sameFile(t, "the second file", getFile(t, x, second.ID), second)
		}
		early, late := later(-2*time.Hour), later(-time.Hour)
		first.AccessedAt = early
		touch(map[string]time.Time{first.ID: early})
		first.AccessedAt, second.AccessedAt = late, early
		touch(map[string]time.Time{first.ID: late, second.ID: early})
		touch(map[string]time.Time{first.ID: early, second.ID: early})
		touch(nil)
	}},
	{"doesn't mind files that aren't there", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		f := createFile(t, x, fileOf(t, 1, d))
		expired(t, x, fileOf(t, 2, d))
		at := later(-time.Hour)
		err := x.TouchFiles(t.Context(), map[string]time.Time{
			f.ID: at, fileID(t, 2): at, fileID(t, 3): at, "": at, "file-\x00": at, "\xff": at,
		})
		if err != nil {
			t.Error(err)
		}
		f.AccessedAt = at
		sameFile(t, "the file", getFile(t, x, f.ID), f)
		gone, err := x.ExpireFiles(t.Context(), 10)
		if err != nil || len(gone) != 1 || !gone[0].AccessedAt.IsZero() {
			t.Errorf("ExpireFiles returned %+v, error %v; want one that was never read", gone, err)
		}
	}},
	{"takes a thousand", func(t *testing.T, x Index) {
		var batch []cas.File
		read := map[string]time.Time{}
		for n := range 1000 {
			batch = append(batch, plain(t, n))
			read[fileID(t, n)] = later(time.Duration(-n) * time.Minute)
		}
		importFiles(t, x, batch...)
		if err := x.TouchFiles(t.Context(), read); err != nil {
			t.Fatal(err)
		}
		list := filePages(t, x, cas.FileQuery{Limit: 1000})
		if len(list) != len(read) {
			t.Fatalf("there are %d files", len(list))
		}
		for _, f := range list {
			if !f.AccessedAt.Equal(read[f.ID]) {
				t.Errorf("file %s was read at %s; want %s", f.ID, f.AccessedAt, read[f.ID])
			}
		}
	}},
}

var prolongFilesTests = []test{
	{"moves the expiry of files, and never back", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		f := fileOf(t, 1, d)
		f.ExpiresAt = later(time.Hour)
		f = createFile(t, x, f)
		forever := createFile(t, x, fileOf(t, 2, d))
		gone := fileOf(t, 3, d)
		expired(t, x, gone)
		for _, until := range []time.Time{later(3 * time.Hour), later(2 * time.Hour)} {
			err := x.ProlongFiles(t.Context(), map[string]time.Time{
				f.ID: until, forever.ID: until, gone.ID: until, fileID(t, 4): until, "": until, "file-\x00": until, "\xff": until,
			})
			if err != nil {
				t.Fatalf("ProlongFiles: %v", err)
			}
			if until.After(f.ExpiresAt) {
				f.ExpiresAt = until
			}
			sameFile(t, "the file", getFile(t, x, f.ID), f)
			sameFile(t, "the file that doesn't expire", getFile(t, x, forever.ID), forever)
		}
		if err := x.ProlongFiles(t.Context(), nil); err != nil {
			t.Errorf("nothing to prolong: %v", err)
		}
		wantExpired(t, x, map[string]bool{gone.ID: false})
	}},
}

// wantExpired fails the test unless ExpireFiles removes these files, and condemns the
// blobs of those for which the value is true.
func wantExpired(t *testing.T, x Index, want map[string]bool) {
	t.Helper()
	gone, err := x.ExpireFiles(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range gone {
		got[f.ID] = f.Condemned
	}
	same(t, "the expired files, and whether their blobs are condemned", got, want)
}

var expireFilesTests = []test{
	{"condemns the blob of a file that takes it along", func(t *testing.T, x Index) {
		everywhere := func(n int, d cas.Digest) cas.File {
			f := fileOf(t, n, d)
			f.OnExpiry = cas.OnExpiryEverywhere
			return f
		}
		alone, shared, plain, both, suspected := live(t, x, 0), live(t, x, 1), live(t, x, 2), live(t, x, 3), live(t, x, 4)
		suspect(t, x, cas.ObjectRef{Digest: suspected})
		expired(t, x, everywhere(1, alone))
		expired(t, x, everywhere(2, shared))
		other := createFile(t, x, fileOf(t, 3, shared))
		expired(t, x, fileOf(t, 4, plain))
		expired(t, x, everywhere(5, both))
		expired(t, x, fileOf(t, 6, both))
		expired(t, x, everywhere(7, suspected))
		wantExpired(t, x, map[string]bool{
			fileID(t, 1): true, fileID(t, 2): false, fileID(t, 4): false, fileID(t, 5): true, fileID(t, 6): false, fileID(t, 7): true,
		})
		for d, state := range map[cas.Digest]cas.State{
			alone: cas.StateCondemned, shared: cas.StateLive, plain: cas.StateLive, both: cas.StateCondemned, suspected: cas.StateCondemned,
		} {
			expect(t, x, d, state, 0)
		}
		// The other file is deleted, and does not take the blob along.
		if _, err := x.DeleteFile(t.Context(), other.ID); err != nil {
			t.Fatal(err)
		}
		expect(t, x, shared, cas.StateLive, 0)
	}},
	{"counts other expired files as gone", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		first, second := fileOf(t, 1, d), fileOf(t, 2, d)
		first.OnExpiry = cas.OnExpiryEverywhere
		expired(t, x, first)
		expired(t, x, second)
		gone, err := x.ExpireFiles(t.Context(), 1)
		if err != nil || len(gone) != 1 || gone[0].ID != first.ID || !gone[0].Condemned {
			t.Errorf("ExpireFiles returned %+v, error %v", gone, err)
		}
		expect(t, x, d, cas.StateCondemned, 0)
		wantExpired(t, x, map[string]bool{second.ID: false})
		expect(t, x, d, cas.StateCondemned, 0)
	}},
	{"removes expired files, and no others", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		stays := createFile(t, x, fullFile(t, 1, d))
		forever := createFile(t, x, fileOf(t, 2, d))
		expired(t, x, fullFile(t, 3, d))
		gone, err := x.ExpireFiles(t.Context(), 10)
		if err != nil || len(gone) != 1 {
			t.Fatalf("ExpireFiles returned %+v, error %v", gone, err)
		}
		want := fullFile(t, 3, d)
		want.CreatedAt, want.ExpiresAt = gone[0].CreatedAt, gone[0].ExpiresAt
		sameFile(t, "the file", gone[0].File, want)
		if again, err := x.ExpireFiles(t.Context(), 10); err != nil || len(again) != 0 {
			t.Errorf("ExpireFiles returned %+v again, error %v", again, err)
		}
		sameFile(t, "the file that expires later", getFile(t, x, stays.ID), stays)
		sameFile(t, "the file that never expires", getFile(t, x, forever.ID), forever)
	}},
	{"removes the longest expired first, and keeps to the limit", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		for _, at := range []time.Duration{2, 0, 4, 1, 3} {
			f := fileOf(t, int(at), d)
			f.ExpiresAt = later(long + at*time.Hour)
			createFile(t, x, f)
			ageFile(t, x, f.ID, 2*long)
		}
		next := 0
		for _, want := range []int{2, 2, 1, 0} {
			gone, err := x.ExpireFiles(t.Context(), 2)
			if err != nil || len(gone) != want {
				t.Fatalf("ExpireFiles returned %d, error %v; want %d", len(gone), err, want)
			}
			for _, f := range gone {
				if f.ID != fileID(t, next) {
					t.Errorf("ExpireFiles returned %s; want %s", f.ID, fileID(t, next))
				}
				next++
			}
		}
		if _, err := x.ExpireFiles(t.Context(), 0); err == nil {
			t.Error("a limit of 0: no error")
		}
	}},
	{"frees the blobs, whether their files went together or not", func(t *testing.T, x Index) {
		a, b := live(t, x, 0), live(t, x, 1)
		for n := range 7 {
			expired(t, x, fileOf(t, n, a))
		}
		for n := range 2 {
			expired(t, x, fileOf(t, 10+n, b))
		}
		kept := createFile(t, x, fileOf(t, 20, b))
		importFiles(t, x, imported(t, 30))
		ageFile(t, x, fileID(t, 30), 2*long)
		total := 0
		for _, want := range []int{4, 4, 2} {
			gone, err := x.ExpireFiles(t.Context(), 4)
			if err != nil || len(gone) != want {
				t.Fatalf("ExpireFiles returned %d after %d, error %v; want %d", len(gone), total, err, want)
			}
			total += len(gone)
		}
		condemn(t, x, a)
		inUse(t, x, b)
		deleteFile(t, x, kept.ID)
		condemn(t, x, b)
	}},
	{"isn't needed to free a blob: it is enough that its files have expired", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		for n := range 3 {
			expired(t, x, fileOf(t, n, d))
		}
		kept := createFile(t, x, fileOf(t, 10, d))
		inUse(t, x, d)
		deleteFile(t, x, kept.ID)
		condemn(t, x, d)
		gone, err := x.ExpireFiles(t.Context(), 10)
		if err != nil || len(gone) != 3 {
			t.Errorf("ExpireFiles returned %d, error %v; want 3", len(gone), err)
		}
		expect(t, x, d, cas.StateCondemned, 0)
	}},
	{"works with the blob in any state", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateSuspect, cas.StateCondemned, cas.StateDeleting, cas.StateGone} {
			b := blob(digest(t, i), 0)
			commit(t, x, b)
			expired(t, x, fileOf(t, i, b.Digest))
			if state == cas.StateSuspect {
				suspect(t, x, b.Object())
			} else {
				condemn(t, x, b.Digest)
			}
			if state == cas.StateDeleting || state == cas.StateGone {
				if _, err := StartDeleting(t.Context(), x, 0, 10); err != nil {
					t.Fatal(err)
				}
			}
			if state == cas.StateGone {
				if err := x.FinishDeleting(t.Context(), b.Object()); err != nil {
					t.Fatal(err)
				}
			}
			expect(t, x, b.Digest, state, 0)
			if gone, err := x.ExpireFiles(t.Context(), 10); err != nil || len(gone) != 1 {
				t.Errorf("ExpireFiles returned %+v, error %v", gone, err)
			}
			expect(t, x, b.Digest, state, 0)
		}
	}},
}
