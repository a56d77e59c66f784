package index_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/scrubber"
	"casgate/index"
	"casgate/index/indextest"
	"casgate/index/sqliteindex"
	"casgate/index/sqliteindex/sqlitetest"
	"casgate/providers/ledger"
)

func TestMain(m *testing.M) {
	castest.Histories(100, 10)
	goleak.VerifyTestMain(m)
}

// The caches must pass all that an index must, at their most eager: whatever may be
// remembered is, before the next question.
func TestCachedIsAnIndex(t *testing.T) {
	castest.Slow(t)
	t.Parallel()
	indextest.Run(t, func(t *testing.T) indextest.Index {
		inner := openSQLite(t)
		return eager{
			blobs: newCached(t, inner, index.CacheOptions{}), cachedCopies: newCachedLedger(t, inner, index.LedgerOptions{}),
			beneath: beneath{uncached{inner}},
		}
	})
}

type (
	blobs        = index.Cached
	cachedCopies = index.CachedLedger
)

// eager has the caches around an index. They apply each write at once. The methods that
// they lack are the index's: those lie deeper, and so the caches' methods come first.
type eager struct {
	*blobs
	*cachedCopies
	beneath
}

type (
	beneath  struct{ uncached }
	uncached struct{ indextest.Index }
)

// Blob implements cas.Index.
func (e eager) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	e.blobs.Settle()
	return e.blobs.Blob(ctx, d)
}

// FinishChecks implements scrubber.Index. It is the scrub that has damaged blobs
// forgotten.
func (e eager) FinishChecks(ctx context.Context, claim string, done ...scrubber.Check) ([]cas.ObjectRef, error) {
	defer e.blobs.ForgetAll()
	return e.beneath.FinishChecks(ctx, claim, done...)
}

// Copy implements ledger.Store.
func (e eager) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	e.cachedCopies.Settle()
	return e.cachedCopies.Copy(ctx, k)
}

// ReleaseFile implements cas.FileIndex. It is cas.Files that has a condemned blob
// forgotten.
func (e eager) ReleaseFile(ctx context.Context, id string) (cas.File, bool, error) {
	defer e.blobs.ForgetAll()
	return e.beneath.ReleaseFile(ctx, id)
}

// UseCopies implements ledger.Store. The cache keeps used copies, and a test checks
// that.
func (e eager) UseCopies(ctx context.Context, uses map[ledger.Key]time.Time) error {
	defer e.cachedCopies.ForgetAll()
	return e.cachedCopies.UseCopies(ctx, uses)
}

// ExtractedText implements ledger.Store.
func (e eager) ExtractedText(ctx context.Context, k ledger.TextKey) (cas.Digest, error) {
	e.cachedCopies.Settle()
	return e.cachedCopies.ExtractedText(ctx, k)
}

// openSQLite opens an empty index for the time of a test.
func openSQLite(t testing.TB) *sqliteindex.Index {
	t.Helper()
	x := sqlitetest.Open(t, filepath.Join(t.TempDir(), "index.db"))
	return x
}

// newCached makes a cache for the time of a test.
func newCached(t testing.TB, inner cas.Index, o index.CacheOptions) *index.Cached {
	t.Helper()
	o.Entries = cmp.Or(o.Entries, 10_000) // the default takes long to make
	c, err := index.NewCached(inner, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// some is a digest.
var some = cas.DigestOf([]byte("some"))

// warm asks until the answer comes from memory.
func warm(t testing.TB, c *index.Cached, d cas.Digest) {
	t.Helper()
	for range 100 {
		before := c.Hits()
		if _, err := c.Blob(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if c.Hits() > before {
			return
		}
		c.Settle()
	}
	t.Fatal("the blob is not remembered")
}

// gone fails the test unless the cache says that there is no such blob.
func gone(t testing.TB, c *index.Cached, d cas.Digest) {
	t.Helper()
	c.Settle()
	if b, err := c.Blob(t.Context(), d); !errors.Is(err, cas.ErrBlobNotFound) {
		t.Errorf("Blob returned %+v, error %v; want ErrBlobNotFound", b, err)
	}
}

func TestCachedForgets(t *testing.T) {
	t.Parallel()
	lost := fmt.Errorf("%w: lost", cas.ErrIndexUnavailable)
	for name, change := range map[string]func(t *testing.T, c *index.Cached, r *rows){
		"by Forget":       func(t *testing.T, c *index.Cached, r *rows) { r.set(some, false); c.Forget(some) },
		"by ForgetAll":    func(t *testing.T, c *index.Cached, r *rows) { r.set(some, false); c.ForgetAll() },
		"by Condemn":      func(t *testing.T, c *index.Cached, r *rows) { c.Condemn(t.Context(), some, cas.CondemnOptions{}) },
		"by Suspect":      func(t *testing.T, c *index.Cached, r *rows) { c.Suspect(t.Context(), cas.ObjectRef{Digest: some}) },
		"by SetMediaType": func(t *testing.T, c *index.Cached, r *rows) { c.SetMediaType(t.Context(), some, "a/b", "c/d") },
		"by FillName":     func(t *testing.T, c *index.Cached, r *rows) { c.FillName(t.Context(), some, "a") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRows(some)
			c := newCached(t, r, index.CacheOptions{})
			warm(t, c, some)
			change(t, c, r)
			gone(t, c, some)
		})
		t.Run(name+", failed but applied", func(t *testing.T) {
			t.Parallel()
			r := newRows(some)
			c := newCached(t, indextest.NewFaulty(r, func(op string, _ cas.Digest) (bool, error) {
				switch op {
				case indextest.OpCondemn, indextest.OpSuspect, indextest.OpSetMediaType, indextest.OpFillName:
					return true, lost
				}
				return false, nil
			}), index.CacheOptions{})
			warm(t, c, some)
			change(t, c, r)
			gone(t, c, some)
		})
	}
}

// A reader got its answer from the database before the blob was deleted, and
// hands it to the cache after that.
func TestCachedFillAfterDelete(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(t *testing.T, c *index.Cached, r *rows){
		"here":      func(t *testing.T, c *index.Cached, r *rows) { c.Condemn(t.Context(), some, cas.CondemnOptions{}) },
		"elsewhere": func(t *testing.T, c *index.Cached, r *rows) { r.set(some, false); c.Forget(some) },
		"gap":       func(t *testing.T, c *index.Cached, r *rows) { r.set(some, false); c.ForgetAll() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRows(some)
			read, goOn := make(chan struct{}), make(chan struct{})
			r.hold = func() { close(read); <-goOn }
			c := newCached(t, r, index.CacheOptions{})
			answered := make(chan error)
			go func() {
				_, err := c.Blob(t.Context(), some)
				answered <- err
			}()
			<-read
			r.mu.Lock()
			r.hold = nil
			r.mu.Unlock()
			remove(t, c, r)
			// While the old question is still open, a new one is not joined to it.
			gone(t, c, some)
			close(goOn)
			if err := <-answered; err != nil {
				t.Errorf("a lookup that began before the deletion: %v", err)
			}
			gone(t, c, some)
		})
	}
}

func TestCachedJoinsCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRows(some)
		read, goOn := make(chan struct{}), make(chan struct{})
		r.hold = func() { close(read); <-goOn } // it panics if it is called twice
		c := newCached(t, r, index.CacheOptions{})

		first, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := c.Blob(first, some)
			left <- err
		}()
		<-read
		others := make(chan error)
		for range 10 {
			go func() {
				_, err := c.Blob(t.Context(), some)
				others <- err
			}()
		}
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left got %v", err)
		}
		synctest.Wait() // until all have asked
		close(goOn)
		for range 10 {
			if err := <-others; err != nil {
				t.Errorf("a caller that stayed: %v", err)
			}
		}
	})
}

// Another process commits a blob after one caller has found none, and before another asks.
// The second is not told that there is none, though it waits for the answer of the first.
func TestCachedDoesNotShareOldAbsence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRows()
		read, goOn := make(chan struct{}), make(chan struct{})
		once := sync.OnceFunc(func() { close(read); <-goOn })
		r.hold = func() { once() }
		c := newCached(t, r, index.CacheOptions{Shared: true})
		first, second := make(chan error), make(chan error)
		go func() { _, err := c.Blob(t.Context(), some); first <- err }()
		<-read
		r.set(some, true)
		go func() { _, err := c.Blob(t.Context(), some); second <- err }()
		synctest.Wait() // until it waits for the first
		close(goOn)
		if err := <-first; !errors.Is(err, cas.ErrBlobNotFound) {
			t.Errorf("the first caller got %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the second caller, after the commit: %v", err)
		}
	})
}

// Each goroutine changes its own blob and reads all blobs. It must always see its
// own changes.
func TestCachedReadsItsWrites(t *testing.T) {
	t.Parallel()
	const workers, rounds = 8, 500
	var ds []cas.Digest
	for i := range workers {
		ds = append(ds, cas.DigestOf([]byte{byte(i)}))
	}
	c := newCached(t, newRows(), index.CacheOptions{})
	var wg sync.WaitGroup
	for _, own := range ds {
		wg.Go(func() {
			for range rounds {
				c.Commit(t.Context(), cas.Blob{Digest: own})
				if _, err := c.Blob(t.Context(), own); err != nil {
					t.Errorf("after Commit: %v", err)
				}
				for _, d := range ds {
					c.Blob(t.Context(), d)
				}
				c.Condemn(t.Context(), own, cas.CondemnOptions{})
				if _, err := c.Blob(t.Context(), own); !errors.Is(err, cas.ErrBlobNotFound) {
					t.Errorf("after Condemn: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCachedListens(t *testing.T) {
	t.Parallel()
	r := newRows(some)
	c := newCached(t, r, index.CacheOptions{Shared: true})
	ctx, cancel := context.WithCancel(t.Context())
	f := &feed{ready: make(chan struct{})}
	ended := make(chan error)
	go func() { ended <- f.Listen(ctx, index.FanOut(c.Listener())) }()
	<-f.ready
	f.to.Gap()
	f.to.State(true)
	for name, event := range map[string]func(){
		"a change": func() { f.to.BlobChanged(some) },
		"a gap":    func() { f.to.Gap() },
		"a loss":   func() { f.to.State(false) },
	} {
		r.set(some, true)
		warm(t, c, some)
		f.to.CopiesChanged(some) // is none of its business
		before := c.Hits()
		if _, err := c.Blob(t.Context(), some); err != nil || c.Hits() == before {
			t.Errorf("a copy changed, and the blob is forgotten; error %v", err)
		}
		r.set(some, false)
		event()
		gone(t, c, some)
		if t.Failed() {
			t.Fatalf("after %s", name)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Listen returned %v", err)
	}
}

func TestFanOut(t *testing.T) {
	t.Parallel()
	var heard []string
	say := func(s string) { heard = append(heard, s) }
	l := index.FanOut(
		index.Listener{},
		index.Listener{BlobChanged: func(d cas.Digest) { say("blob " + d.Short()) }, State: func(l bool) { say(fmt.Sprint("state ", l)) }},
		index.FanOut(index.Listener{CopiesChanged: func(d cas.Digest) { say("copies " + d.Short()) }, Gap: func() { say("gap") }}, index.Listener{}),
		index.Listener{Gap: func() { say("another gap") }, FileDeleted: func(place cas.Digest) { say("file " + place.Short()) }},
	)
	l.Gap()
	l.State(true)
	l.BlobChanged(some)
	l.CopiesChanged(some)
	l.FileDeleted(some)
	l.State(false)
	want := []string{"gap", "another gap", "state true", "blob " + some.Short(), "copies " + some.Short(), "file " + some.Short(), "state false"}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q; want %q", heard, want)
	}
}

// Time is the bubble's: it passes only while everything waits.
func TestCachedTTL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		options       index.CacheOptions
		listening     bool
		keeps, forget time.Duration
	}{
		{"by default", index.CacheOptions{}, false, 4 * time.Minute, 6 * time.Minute},
		{"as configured", index.CacheOptions{TTL: time.Hour}, false, 53 * time.Minute, 67 * time.Minute},
		{"shared, hearing nothing", index.CacheOptions{Shared: true}, false, 1700 * time.Millisecond, 2300 * time.Millisecond},
		{"shared and listening", index.CacheOptions{Shared: true}, true, 4 * time.Minute, 6 * time.Minute},
		{"shared, and the feed is silent", index.CacheOptions{Shared: true}, true, 1700 * time.Millisecond, 2300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRows(some)
				cache := newCached(t, r, c.options)
				if c.listening {
					f := &feed{ready: make(chan struct{})}
					go f.Listen(t.Context(), cache.Listener())
					<-f.ready
					f.to.State(true)
					if !strings.Contains(c.name, "silent") {
						go beat(t.Context(), f.to)
					}
				}
				warm(t, cache, some)
				began := time.Now()
				r.set(some, false)
				<-time.After(c.keeps)
				if _, err := cache.Blob(t.Context(), some); err != nil {
					t.Errorf("forgotten after %v", time.Since(began))
				}
				<-time.After(c.forget - c.keeps)
				gone(t, cache, some)
			})
		})
	}
}

// beat is a feed that lives.
func beat(ctx context.Context, to index.Listener) {
	for ctx.Err() == nil {
		to.Beat(time.Now())
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// A deleted blob is not read for longer than promised, though the answer of the index
// came late: its age counts from the question.
func TestCachedLateAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const late = 10 * time.Second
		r := newRows(some)
		c := newCached(t, lateIndex{r, late}, index.CacheOptions{Shared: true})
		if _, err := c.Blob(t.Context(), some); err != nil {
			t.Fatal(err)
		}
		r.set(some, false) // it was deleted while the answer was on its way
		began := time.Now()
		if b, err := c.Blob(t.Context(), some); !errors.Is(err, cas.ErrBlobNotFound) || time.Since(began) < late {
			t.Errorf("a late answer was remembered: %+v, %v", b, err)
		}
		// Callers that come later don't wait for an answer that was asked for long before.
		r.set(some, true)
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := c.Blob(t.Context(), some); err != nil {
				t.Error(err)
			}
		})
		<-time.After(index.DefaultDeafTTL)
		r.set(some, false)
		if b, err := c.Blob(t.Context(), some); !errors.Is(err, cas.ErrBlobNotFound) {
			t.Errorf("an old question was joined: %+v, %v", b, err)
		}
		first.Wait()
	})
}

// lateIndex answers from a table as it was when it was asked.
type lateIndex struct {
	*rows
	late time.Duration
}

func (l lateIndex) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	b, err := l.rows.Blob(ctx, d)
	<-time.After(l.late)
	return b, err
}

func TestCachedCounts(t *testing.T) {
	t.Parallel()
	r := newRows(some)
	c := newCached(t, r, index.CacheOptions{})
	warm(t, c, some)
	hits, misses := c.Hits(), c.Misses()
	for range 10 {
		c.Blob(t.Context(), some)
	}
	c.Blob(t.Context(), cas.DigestOf(nil))
	if h, m := c.Hits()-hits, c.Misses()-misses; h != 10 || m != 1 {
		t.Errorf("%d hits and %d misses; want 10 and 1", h, m)
	}
}

func TestCachedKeepsWhatItShould(t *testing.T) {
	t.Parallel()
	const entries = 1000
	var ds []cas.Digest
	for i := range entries {
		ds = append(ds, cas.DigestOf(fmt.Append(nil, i)))
	}
	r := newRows(ds...)
	c := newCached(t, r, index.CacheOptions{Entries: entries})
	for range 2 {
		for _, d := range ds {
			c.Blob(t.Context(), d)
		}
		c.Settle()
	}
	before := c.Hits()
	for _, d := range ds {
		c.Blob(t.Context(), d)
	}
	if hits := c.Hits() - before; hits < entries*9/10 {
		t.Errorf("a cache for %d blobs remembers %d of as many", entries, hits)
	}
}

func TestCachedRefusesNegativeOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []index.CacheOptions{{Entries: -1}, {TTL: -1}, {DeafTTL: -1}} {
		if c, err := index.NewCached(newRows(), o); err == nil {
			c.Close()
			t.Errorf("%+v: no error", o)
		}
	}
}

func BenchmarkCachedBlobHit(b *testing.B) {
	c := newCached(b, newRows(some), index.CacheOptions{})
	warm(b, c, some)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			if _, err := c.Blob(ctx, some); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A load whose caller has left ends before the cache is closed.
func TestCachedCloseWaitsForLoads(t *testing.T) {
	t.Parallel()
	d := cas.DigestOf([]byte("a"))
	inner := newRows(d)
	reached, release := make(chan struct{}), make(chan struct{})
	inner.hold = func() { close(reached); <-release }
	c, err := index.NewCached(inner, index.CacheOptions{Entries: 100})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() { defer close(left); _, _ = c.Blob(ctx, d) }() // the error is ctx's
	<-reached
	leave()
	<-left
	closed := make(chan struct{})
	go func() { defer close(closed); c.Close() }()
	select {
	case <-closed:
		t.Error("the cache was closed under the load")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	<-closed
	if _, err := c.Blob(t.Context(), d); !errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("a load after that: %v", err)
	}
}
