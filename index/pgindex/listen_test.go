package pgindex_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/scrubber"
	"casgate/index"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

// events records the calls of Listen, as words.
type events struct {
	t      *testing.T
	heard  chan string
	beats  chan time.Time
	cancel context.CancelFunc
	ended  chan error
}

// wantBeats waits for beats, each of a later time.
func (e *events) wantBeats(n int) {
	e.t.Helper()
	var last time.Time
	for range n {
		select {
		case at := <-e.beats:
			if !at.After(last) {
				e.t.Errorf("a beat of %v after that of %v", at, last)
			}
			last = at
		case <-time.After(castest.WaitLimit):
			e.t.Fatal("no beat came")
		}
	}
}

// listen listens until the test ends.
func listen(t *testing.T, o pgindex.Options) *events {
	t.Helper()
	o.Log = zerolog.New(zerolog.NewTestWriter(t))
	x := open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	e := &events{t: t, heard: make(chan string, 1000), beats: make(chan time.Time, 1000), cancel: cancel, ended: make(chan error, 1)}
	go func() {
		e.ended <- x.Listen(ctx, index.Listener{
			BlobChanged:   func(d cas.Digest) { e.heard <- "change " + d.Short() },
			CopiesChanged: func(d cas.Digest) { e.heard <- "copies " + d.Short() },
			FileDeleted:   func(place cas.Digest) { e.heard <- "file " + place.Short() },
			Gap:           func() { e.heard <- "gap" },
			State:         func(listening bool) { e.heard <- fmt.Sprint("listening ", listening) },
			Beat: func(at time.Time) {
				select {
				case e.beats <- at:
				default: // a test that runs for long
				}
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-e.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Listen returned %v", err)
		}
	})
	return e
}

// expect waits for these events, in this order, with no others in between.
func (e *events) expect(want ...string) {
	e.t.Helper()
	for _, w := range want {
		select {
		case got := <-e.heard:
			if got != w {
				e.t.Fatalf("heard %q; want %q", got, w)
			}
		case <-time.After(castest.WaitLimit):
			e.t.Fatalf("heard nothing; want %q", w)
		}
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	e := listen(t, pgindex.Options{URL: url})
	e.expect("gap", "listening true")

	x := newTestIndex(t, url)
	change := "change " + some.Digest.Short()
	put(t, x.Index)
	for _, remove := range []func(id string) error{
		func(id string) error { _, err := x.DeleteFile(t.Context(), id); return err },
		func(id string) error { _, _, err := x.ReleaseFile(t.Context(), id); return err },
	} {
		f := aFile("file-heard")
		if _, err := x.CreateFile(t.Context(), cas.NewFile{File: f}); err != nil {
			t.Fatal(err)
		}
		if err := remove(f.ID); err != nil {
			t.Fatal(err)
		}
		e.expect("file " + index.FilePlace(f.ID).Short())
	}
	e.expect(change) // the last file took the blob along
	put(t, x.Index)
	if err := x.Suspect(t.Context(), some.Object()); err != nil {
		t.Fatal(err)
	}
	e.expect(change)
	if err := x.Suspect(t.Context(), some.Object()); err != nil { // changes nothing
		t.Fatal(err)
	}
	// The mark of a scrub is announced like that of a read.
	if err := x.Trust(t.Context(), some.Object()); err != nil {
		t.Fatal(err)
	}
	for _, verdict := range []scrubber.Verdict{scrubber.VerdictRight, scrubber.VerdictDamaged, scrubber.VerdictDamaged} {
		if _, err := x.ClaimBlobs(t.Context(), scrubber.Claim{ID: "a scrub", Lease: time.Minute}, some.Digest); err != nil {
			t.Fatal(err)
		}
		check := scrubber.Check{ObjectRef: some.Object(), Verdict: verdict}
		if counted, err := x.FinishChecks(t.Context(), "a scrub", check); err != nil || len(counted) != 1 {
			t.Fatalf("%v, %v", counted, err)
		}
	}
	e.expect(change) // once: neither the right object nor the second mark changes the state
	if err := x.Condemn(t.Context(), some.Digest, cas.CondemnOptions{}); err != nil {
		t.Fatal(err)
	}
	e.expect(change)
	if err := x.Condemn(t.Context(), some.Digest, cas.CondemnOptions{}); !errors.Is(err, cas.ErrBlobNotFound) {
		t.Fatal(err)
	}
	for _, payload := range []string{"news of another kind", "", fmt.Sprintf("%064d", 0)[1:] + "x"} {
		if _, err := x.db.Exec(t.Context(), "select pg_notify('casgate_blobs', $1)", payload); err != nil {
			t.Fatal(err)
		}
		e.expect("gap")
	}
}

func TestListenReconnects(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	e := listen(t, pgindex.Options{URL: url})
	x := newTestIndex(t, url)
	e.expect("gap", "listening true")
	for range 2 {
		_, err := x.db.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and query like 'listen %'`)
		if err != nil {
			t.Fatal(err)
		}
		e.expect("listening false", "gap", "listening true")
	}
	put(t, x.Index)
	if err := x.Condemn(t.Context(), some.Digest, cas.CondemnOptions{}); err != nil {
		t.Fatal(err)
	}
	e.expect("change " + some.Digest.Short())
	e.cancel()
	e.expect("listening false")
}

// PgBouncer in transaction mode takes the LISTEN and delivers nothing.
func TestListenNoticesAPooler(t *testing.T) {
	t.Parallel()
	pooled := pgtest.NewPooled(t)
	e := listen(t, pgindex.Options{URL: pooled, ProbeInterval: 200 * time.Millisecond})
	e.expect("listening false")
}

func TestListenBesideAPooler(t *testing.T) {
	t.Parallel()
	direct := pgtest.New(t)
	pooled := pgtest.Pooled(t, castest.Service(t, pgtest.PoolerVariable), direct)
	e := listen(t, pgindex.Options{URL: pooled, ListenURL: direct})
	e.expect("gap", "listening true")
	x := open(t, pgindex.Options{URL: pooled})
	put(t, x)
	if err := x.Condemn(t.Context(), some.Digest, cas.CondemnOptions{}); err != nil {
		t.Fatal(err)
	}
	e.expect("change " + some.Digest.Short())
}

func TestListenNoticesTheWrongDatabase(t *testing.T) {
	t.Parallel()
	e := listen(t, pgindex.Options{URL: pgtest.New(t), ListenURL: pgtest.New(t), ProbeInterval: 200 * time.Millisecond})
	e.expect("listening false")
}

// A connection that dies without a word, as behind a firewall, is noticed by the
// next probe; and one that lives through many probes is kept.
func TestListenProbes(t *testing.T) {
	t.Parallel()
	direct := pgtest.New(t)
	proxied, server := throughProxy(t, direct)
	e := listen(t, pgindex.Options{URL: direct, ListenURL: proxied, ProbeInterval: time.Second})
	e.expect("gap", "listening true")
	e.wantBeats(2)
	server.silence()
	e.expect("listening false")
	server.serve()
	e.expect("gap", "listening true")

	// Each probe is heard by every listener, so this one can count them.
	x := newTestIndex(t, direct)
	other, err := x.db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	if _, err := other.Exec(t.Context(), "listen casgate_blobs"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := other.Conn().WaitForNotification(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Exec(t.Context(), "unlisten *"); err != nil {
		t.Fatal(err)
	}
	put(t, x.Index)
	if err := x.Condemn(t.Context(), some.Digest, cas.CondemnOptions{}); err != nil {
		t.Fatal(err)
	}
	e.expect("change " + some.Digest.Short())
}

// A gateway whose connections have all gone silent serves a blob that another gateway
// deleted for as long as promised, and no longer.
func TestSilenceBoundsStaleness(t *testing.T) {
	castest.Slow(t) // it waits until the silence counts
	t.Parallel()
	direct := pgtest.New(t)
	other := newTestIndex(t, direct)
	proxied, server := throughProxy(t, direct)
	x := open(t, pgindex.Options{URL: proxied})
	cached, err := index.NewCached(x, index.CacheOptions{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cached.Close)
	ctx, stop := context.WithCancel(t.Context())
	ended, listening := make(chan error, 1), make(chan struct{}, 1)
	go func() {
		ended <- x.Listen(ctx, index.FanOut(cached.Listener(), index.Listener{Beat: func(time.Time) {
			select {
			case listening <- struct{}{}:
			default:
			}
		}}))
	}()
	defer func() { stop(); <-ended }()
	put(t, other.Index)
	<-listening
	castest.Eventually(t, "the blob is remembered", func() bool {
		if _, err := cached.Blob(t.Context(), some.Digest); err != nil {
			t.Fatal(err)
		}
		return cached.Hits() > 0
	})
	server.silence()
	if err := other.Condemn(t.Context(), some.Digest, cas.CondemnOptions{}); err != nil {
		t.Fatal(err)
	}
	deleted, served := time.Now(), 0
	for err == nil {
		before := time.Now()
		if _, err = cached.Blob(t.Context(), some.Digest); err == nil {
			if served++; before.Sub(deleted) > index.DefaultDeafTTL+100*time.Millisecond {
				t.Fatalf("the deleted blob was served %v after the delete", before.Sub(deleted))
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	if !errors.Is(err, cas.ErrIndexUnavailable) || served == 0 {
		t.Errorf("served %d times, then %v", served, err)
	}
}
