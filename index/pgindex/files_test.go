package pgindex_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

// aFile is a file of the blob some.
func aFile(id string) cas.File {
	return cas.File{ID: id, Digest: some.Digest, Name: "a.txt", Purpose: "assistants"}
}

// meet runs statements in a transaction, and call while that is open. Once call waits
// for it, the transaction ends; and meet when the call has.
func meet(t *testing.T, x testIndex, commit bool, call func(ctx context.Context), statements ...string) {
	t.Helper()
	tx, err := x.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	for _, s := range statements {
		if _, err := tx.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		call(t.Context())
	}()
	for waiting := false; !waiting; {
		err := x.db.QueryRow(t.Context(), `select exists (select from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	end := tx.Rollback
	if commit {
		end = tx.Commit
	}
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
}

// Changes by other transactions to the blob "some" and its files.
const (
	makesFile = `insert into files (id, digest, size, name, media_type, purpose, context, tags, metadata)
		select 'file-other', digest, 4, 'b.txt', '', 'batch', '', '{}', '{}' from blobs`
	countsFile   = `update blobs set files = files + 1`
	removesFiles = `delete from files`
	countsNone   = `update blobs set files = 0`
	touches      = `update blobs set touched_at = now()`
	condemns     = `update blobs set state = 'condemned', condemned_at = now()`
	resolves     = `update files set digest = (select digest from blobs), size = 4`
)

// A call that waits for the blob's row must use the row after the wait, not the row
// that it saw before.
func TestCondemnMeetsAFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		before     func(t *testing.T, x testIndex)
		statements []string
		commit     bool
		want       error
	}{
		{"that is made", nil, []string{countsFile, makesFile}, true, cas.ErrBlobInUse},
		{"that is not made after all", nil, []string{countsFile, makesFile}, false, nil},
		{"that is made in the place of one that had expired", expiredFile, []string{removesFiles, makesFile, touches}, true, cas.ErrBlobInUse},
		{"that had expired, and is removed", expiredFile, []string{countsNone, removesFiles}, true, nil},
		{"that had expired", expiredFile, []string{touches}, true, nil},
		{"and another condemn", nil, []string{condemns}, true, cas.ErrBlobNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTestIndex(t, pgtest.New(t))
			put(t, x.Index)
			if c.before != nil {
				c.before(t, x)
			}
			meet(t, x, c.commit, func(ctx context.Context) {
				if err := x.Condemn(ctx, some.Digest, cas.CondemnOptions{}); !errors.Is(err, c.want) {
					t.Errorf("Condemn: %v; want %v", err, c.want)
				}
			}, c.statements...)
			x.CheckFileCounts(t)
		})
	}
}

// expiredFile makes one.
func expiredFile(t *testing.T, x testIndex) {
	t.Helper()
	f := aFile("file-expired")
	f.ExpiresAt = time.Now().Add(time.Hour)
	if _, err := x.CreateFile(t.Context(), cas.NewFile{File: f}); err != nil {
		t.Fatal(err)
	}
	x.AgeFile(t, f.ID, 2*time.Hour)
}

func TestUniqueFileMeetsAFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		before     func(t *testing.T, x testIndex)
		statements []string
		commit     bool
		want       error
	}{
		{"that is made", nil, []string{countsFile, makesFile}, true, cas.ErrDuplicateFile},
		{"that is not made after all", nil, []string{countsFile, makesFile}, false, nil},
		{"that is made in the place of one that had expired", expiredFile, []string{removesFiles, makesFile, touches}, true, cas.ErrDuplicateFile},
		{"that had expired", expiredFile, []string{touches}, true, nil},
		{"and a condemn", nil, []string{condemns}, true, cas.ErrBlobNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTestIndex(t, pgtest.New(t))
			put(t, x.Index)
			if c.before != nil {
				c.before(t, x)
			}
			meet(t, x, c.commit, func(ctx context.Context) {
				f, err := x.CreateFile(ctx, cas.NewFile{File: aFile("file-mine"), Unique: true})
				if !errors.Is(err, c.want) || (c.want == cas.ErrDuplicateFile && f.ID != "file-other") {
					t.Errorf("CreateFile: %q, error %v; want %v", f.ID, err, c.want)
				}
			}, c.statements...)
			x.CheckFileCounts(t)
		})
	}
}

// A statement that removes a file must free the blob that the file has at that moment.
func TestDeleteFileMeetsAResolution(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		x := newTestIndex(t, pgtest.New(t))
		put(t, x.Index)
		pending := aFile("file-mine")
		pending.Digest, pending.Size, pending.Origin = cas.Digest{}, -1, &cas.Origin{Source: "old", Key: "k"}
		if _, err := x.ImportFiles(t.Context(), []cas.File{pending}, cas.ImportFilesOptions{}); err != nil {
			t.Fatal(err)
		}
		meet(t, x, commit, func(ctx context.Context) {
			if f, err := x.DeleteFile(ctx, pending.ID); err != nil || f.IsPending() == commit {
				t.Errorf("DeleteFile: %+v, error %v", f, err)
			}
		}, resolves, countsFile)
		x.CheckFileCounts(t)
	}
}

// ExpireFiles never waits for a file that another transaction has locked.
func TestExpireFilesSkipsLocked(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	put(t, x.Index)
	expiredFile(t, x)
	tx, err := x.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "select from files for update"); err != nil {
		t.Fatal(err)
	}
	if gone, err := x.ExpireFiles(t.Context(), 10); err != nil || len(gone) != 0 {
		t.Errorf("ExpireFiles returned %+v, error %v", gone, err)
	}
}

// Records are numbered when all that were numbered before them can be seen.
func TestAppendRecordsWaits(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	numbered := `insert into journal (operation, kind, actor, file_id, provider, started_at, duration, bytes, outcome, error_code)
		values ('first', 'sync', '', '', '', now(), 0, 0, 'ok', '')`
	meet(t, x, true, func(ctx context.Context) {
		if err := x.AppendRecords(ctx, []journal.Record{{ID: "second", Start: time.Now()}}); err != nil {
			t.Errorf("AppendRecords: %v", err)
		}
	}, pgindex.LockJournal, numbered)
	page, err := x.Records(t.Context(), journal.Query{Limit: 10})
	if err != nil || len(page) != 2 || page[0].ID != "second" || page[1].ID != "first" {
		t.Errorf("the journal is %+v, error %v", page, err)
	}
}

// An import that waits for a delete does not undo it.
func TestImportMeetsADelete(t *testing.T) {
	t.Parallel()
	for _, isDeleted := range []bool{true, false} {
		x := newTestIndex(t, pgtest.New(t))
		f := aFile("file-imported")
		f.Digest, f.Origin = cas.Digest{}, &cas.Origin{Source: "old", Key: "k"}
		if _, err := x.ImportFiles(t.Context(), []cas.File{f}, cas.ImportFilesOptions{}); err != nil {
			t.Fatal(err)
		}
		meet(t, x, isDeleted, func(ctx context.Context) {
			if stored, err := x.ImportFiles(ctx, []cas.File{f}, cas.ImportFilesOptions{}); err != nil || len(stored) > 0 {
				t.Errorf("stored %v, %v", stored, err)
			}
		}, removesFiles, `insert into deleted_files (id, created_at, is_import) values ('file-imported', now(), true)`)
		if _, err := x.File(t.Context(), f.ID); errors.Is(err, cas.ErrFileNotFound) != isDeleted {
			t.Errorf("deleted %t: %v", isDeleted, err)
		}
	}
}
