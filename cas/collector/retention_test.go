package collector_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
)

// retentionIndex is an index in memory that condemns what is not kept.
type retentionIndex struct {
	mu      sync.Mutex
	since   time.Duration
	gap     time.Duration
	blobs   []cas.Digest
	touched []cas.Digest
	asked   []cas.Cursor
	fail    error
}

func (x *retentionIndex) TouchBlobs(_ context.Context, ds []cas.Digest, _ time.Duration) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.touched = append(x.touched, ds...)
	return x.fail
}

func (x *retentionIndex) KeepRetention(_ context.Context, maxGap time.Duration) (time.Duration, error) {
	x.gap = maxGap
	return x.since, x.fail
}

func (x *retentionIndex) CondemnUnreferenced(_ context.Context, q collector.RetentionQuery) (collector.RetentionPage, error) {
	x.asked = append(x.asked, q.After)
	n := min(q.Limit, len(x.blobs))
	page := collector.RetentionPage{Condemned: x.blobs[:n], Seen: n}
	if n > 0 {
		page.Next = cas.Cursor{Digest: x.blobs[n-1]}
	}
	x.blobs = x.blobs[n:]
	return page, nil
}

// seen returns what was touched.
func (x *retentionIndex) seen() []cas.Digest {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.touched)
}

// Nothing is condemned before uses have been recorded for the whole retention.
func TestRetentionWaitsUntilUsesWereRecorded(t *testing.T) {
	t.Parallel()
	x := &retentionIndex{since: 99 * time.Hour}
	for i := range 1200 {
		x.blobs = append(x.blobs, cas.DigestOf([]byte{byte(i), byte(i >> 8)}))
	}
	want := slices.Clone(x.blobs)
	var condemned []cas.Digest
	r := collector.NewRetention(collector.RetentionOptions{
		Index: x, Idle: 100 * time.Hour, Condemned: func(d cas.Digest) { condemned = append(condemned, d) },
	})
	if n, err := r.Pass(t.Context()); err != nil || n != 0 || len(x.asked) != 0 || x.gap != 24*time.Hour {
		t.Errorf("too early: %d blobs condemned, error %v, gap %s", n, err, x.gap)
	}
	x.since = 100 * time.Hour
	n, err := r.Pass(t.Context())
	if err != nil || n != len(want) || !slices.Equal(condemned, want) || len(x.asked) != 3 || r.Condemned() != int64(len(want)) {
		t.Errorf("%d blobs condemned in %d pages, error %v", n, len(x.asked), err)
	}
	x.fail = cas.ErrIndexUnavailable
	if _, err := r.Pass(t.Context()); !errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("without an index: %v", err)
	}
}

// Run records uses every 30 s and condemns every hour, and at its end it records the
// last uses.
func TestRetentionRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &retentionIndex{since: 1000 * time.Hour, blobs: []cas.Digest{{1}}}
		uses := make(chan []cas.Digest, 1)
		var condemned atomic.Int64
		r := collector.NewRetention(collector.RetentionOptions{
			Index: x, Idle: 100 * time.Hour,
			Uses: func() []cas.Digest {
				select {
				case used := <-uses:
					return used
				default:
					return nil
				}
			},
			Condemned: func(cas.Digest) { condemned.Add(1) },
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		uses <- []cas.Digest{{2}}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if got := x.seen(); !slices.Equal(got, []cas.Digest{{2}}) || condemned.Load() != 0 {
			t.Errorf("after half a minute %v are touched, and %d are condemned", got, condemned.Load())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if condemned.Load() != 1 {
			t.Errorf("after an hour %d are condemned", condemned.Load())
		}
		uses <- []cas.Digest{{3}}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) || !slices.Equal(x.seen(), []cas.Digest{{2}, {3}}) {
			t.Errorf("Run ended with %v; %v are touched", err, x.seen())
		}
	})
}

func TestStoreRecordsUses(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	store, err := cas.NewStore(w.objects, w.index, cas.Options{SpoolDir: t.TempDir(), RecordUses: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	read, verified, marked := w.put([]byte("read")), w.put([]byte("verified")), w.put([]byte("marked"))
	w.put([]byte("unread"))
	want := []cas.Digest{read, verified, marked}
	for i, d := range []cas.Digest{read, verified, read} {
		blob, err := store.Blob(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		open := store.OpenVerified
		if i != 1 {
			open = func(ctx context.Context, b cas.Blob) (*cas.Content, error) { return store.Open(ctx, b, 0, -1) }
		}
		c, err := open(t.Context(), blob)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	store.MarkUsed(marked)
	order := func(a, b cas.Digest) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(want, order)
	if got := store.TakeUses(); !slices.Equal(slices.SortedFunc(slices.Values(got), order), want) {
		t.Errorf("the uses are %v; want %v", got, want)
	}
	if got := store.TakeUses(); len(got) != 0 {
		t.Errorf("the uses are returned again: %v", got)
	}
	w.store.MarkUsed(read)
	if got := w.store.TakeUses(); got != nil {
		t.Errorf("a store that records none returns %v", got)
	}
}
