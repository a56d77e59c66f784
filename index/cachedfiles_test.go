package index_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/index"
)

// fileRows is an index of one file.
type fileRows struct {
	cas.FileIndex // all other methods panic
	file          cas.File
	gone          bool
	asked         int
}

func (r *fileRows) File(context.Context, string) (cas.File, error) {
	r.asked++
	if r.gone {
		return cas.File{}, cas.ErrFileNotFound
	}
	return r.file, nil
}

func (r *fileRows) DeleteFile(context.Context, string) (cas.File, error) {
	r.gone = true
	return r.file, nil
}

func (r *fileRows) ReleaseFile(ctx context.Context, id string) (cas.File, bool, error) {
	f, err := r.DeleteFile(ctx, id)
	return f, true, err
}

func (r *fileRows) ExpireFiles(ctx context.Context, _ int) ([]cas.ExpiredFile, error) {
	f, err := r.DeleteFile(ctx, r.file.ID)
	return []cas.ExpiredFile{{File: f}}, err
}

func newCachedFiles(t *testing.T, rows cas.FileIndex, shared bool) *index.CachedFiles {
	t.Helper()
	c, err := index.NewCachedFiles(rows, index.CacheOptions{Entries: 10_000, Shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// warmFile asks until the answer comes from memory.
func warmFile(t *testing.T, c *index.CachedFiles, id string) {
	t.Helper()
	for range 100 {
		before := c.Hits()
		if _, err := c.KnownFile(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if c.Hits() > before {
			return
		}
		c.Settle()
	}
	t.Fatal("the file is not remembered")
}

func someFile() cas.File {
	return cas.File{ID: "file-abc", Digest: cas.DigestOf([]byte("x")), Name: "a"}
}

func TestFilesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &fileRows{file: someFile()}
		c := newCachedFiles(t, rows, false)
		warmFile(t, c, rows.file.ID)
		asked := rows.asked
		f, err := c.KnownFile(t.Context(), rows.file.ID)
		if err != nil || f.Digest != rows.file.Digest || rows.asked != asked {
			t.Errorf("%+v, %v, asked %d times", f, err, rows.asked)
		}
		if _, err := c.File(t.Context(), rows.file.ID); err != nil || rows.asked != asked+1 {
			t.Errorf("File answers from memory: asked %d times, %v", rows.asked, err)
		}
	})
}

func TestRemovedFilesAreForgotten(t *testing.T) {
	for name, remove := range map[string]func(context.Context, *index.CachedFiles) error{
		"deleted": func(ctx context.Context, c *index.CachedFiles) error {
			_, err := c.DeleteFile(ctx, "file-abc")
			return err
		},
		"released": func(ctx context.Context, c *index.CachedFiles) error {
			_, _, err := c.ReleaseFile(ctx, "file-abc")
			return err
		},
		"expired": func(ctx context.Context, c *index.CachedFiles) error { _, err := c.ExpireFiles(ctx, 1); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rows := &fileRows{file: someFile()}
				c := newCachedFiles(t, rows, false)
				warmFile(t, c, rows.file.ID)
				if err := remove(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if f, err := c.KnownFile(t.Context(), rows.file.ID); !errors.Is(err, cas.ErrFileNotFound) {
					t.Errorf("got %+v, %v", f, err)
				}
			})
		})
	}
}

// What another process deletes is unknown for as long as for blobs.
func TestFilesOfASharedIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &fileRows{file: someFile()}
		c := newCachedFiles(t, rows, true)
		warmFile(t, c, rows.file.ID)
		rows.gone = true
		time.Sleep(index.DefaultDeafTTL + time.Millisecond) // of the bubble's clock
		if f, err := c.KnownFile(t.Context(), rows.file.ID); !errors.Is(err, cas.ErrFileNotFound) {
			t.Errorf("got %+v, %v", f, err)
		}
	})
}

// While the feed listens, a file is remembered for longer, and forgotten at once.
func TestFilesOfASharedIndexWithAFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &fileRows{file: someFile()}
		c := newCachedFiles(t, rows, true)
		l := c.Listener()
		l.Gap()
		l.State(true)
		warmFile(t, c, rows.file.ID)
		asked := rows.asked
		time.Sleep(index.DefaultDeafTTL + time.Millisecond) // of the bubble's clock
		l.Beat(time.Now())
		if _, err := c.KnownFile(t.Context(), rows.file.ID); err != nil || rows.asked != asked {
			t.Errorf("%v, asked %d times", err, rows.asked)
		}
		rows.gone = true
		l.FileDeleted(index.FilePlace(rows.file.ID))
		if f, err := c.KnownFile(t.Context(), rows.file.ID); !errors.Is(err, cas.ErrFileNotFound) {
			t.Errorf("got %+v, %v", f, err)
		}
	})
}

func TestExpiredFilesAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &fileRows{file: someFile()}
		rows.file.ExpiresAt = time.Now().Add(time.Minute)
		c := newCachedFiles(t, rows, false)
		warmFile(t, c, rows.file.ID)
		rows.gone = true
		time.Sleep(time.Minute) // of the bubble's clock
		if f, err := c.KnownFile(t.Context(), rows.file.ID); !errors.Is(err, cas.ErrFileNotFound) {
			t.Errorf("got %+v, %v", f, err)
		}
	})
}

func TestPendingFilesAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &fileRows{file: cas.File{ID: "file-abc"}}
		c := newCachedFiles(t, rows, false)
		for range 3 {
			if _, err := c.KnownFile(t.Context(), rows.file.ID); err != nil {
				t.Fatal(err)
			}
			c.Settle()
		}
		if rows.asked != 3 {
			t.Errorf("asked %d times", rows.asked)
		}
	})
}
