package sqliteindex_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/index"
	"casgate/index/sqliteindex"
)

func version(t *testing.T, x *sqliteindex.Index) int64 {
	t.Helper()
	v, err := sqliteindex.Version(x, t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A change by another process is reported, and a change by this one is not.
func TestListenReportsOtherProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "index.sqlite")
	open := func() *sqliteindex.Index {
		x, err := sqliteindex.Open(t.Context(), path)
		if err == nil {
			err = x.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(x.Close)
		return x
	}
	own, other := open(), open()
	put := func(x *sqliteindex.Index, content string) {
		t.Helper()
		if _, _, err := x.Commit(t.Context(), cas.Blob{Digest: cas.DigestOf([]byte(content)), Size: int64(len(content)), MediaType: cas.DefaultMediaType}); err != nil {
			t.Fatal(err)
		}
	}
	gaps := make(chan struct{}, 10)
	wait := func() {
		t.Helper()
		select {
		case <-gaps:
		case <-time.After(castest.WaitLimit):
			t.Fatal("no change is reported")
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- own.Listen(ctx, index.Listener{Gap: func() { gaps <- struct{}{} }}) }()
	wait() // what happened before
	before := version(t, own)
	put(own, "own")
	if version(t, own) != before {
		t.Error("an own change counts")
	}
	put(other, "another process's")
	if version(t, own) == before {
		t.Error("another process's change does not count")
	}
	wait()
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Listen returned %v", err)
	}
}
