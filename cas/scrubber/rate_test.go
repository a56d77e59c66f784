package scrubber_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/cas/scrubber"
)

// rows is an index in memory, for tests with a clock of their own. All its blobs are
// live.
type rows struct {
	scrubber.Index // nil: what a scrub of right objects doesn't call
	mu             sync.Mutex
	due            []cas.Blob
	finished       int
}

func (x *rows) Clock(context.Context) (time.Time, error) { return time.Now(), nil }

func (x *rows) ClaimDue(_ context.Context, _ scrubber.Claim, due scrubber.Due) ([]cas.Blob, bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if due.State != cas.StateLive {
		return nil, false, nil
	}
	n := min(due.Limit, len(x.due))
	claimed := slices.Clone(x.due[:n])
	x.due = x.due[n:]
	return claimed, false, nil
}

func (x *rows) ExtendClaim(context.Context, scrubber.Claim, ...cas.Digest) error { return nil }

func (x *rows) FinishChecks(_ context.Context, _ string, checks ...scrubber.Check) (refs []cas.ObjectRef, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range checks {
		if c.Verdict == scrubber.VerdictRight {
			x.finished++
		}
		refs = append(refs, c.ObjectRef)
	}
	return refs, nil
}

func (x *rows) SaveScrub(context.Context, scrubber.Run, time.Duration) (bool, error) {
	return true, nil
}

// objects is an object store in memory.
type objects struct {
	cas.ObjectStore // nil: what a scrub of right objects doesn't call
	bytes           map[cas.Digest][]byte
	wrap            func(io.Reader) io.Reader
}

func (o *objects) Open(_ context.Context, ref cas.ObjectRef, _, _ int64) (cas.Object, error) {
	b := o.bytes[ref.Digest]
	var src io.Reader = bytes.NewReader(b)
	if o.wrap != nil {
		src = o.wrap(src)
	}
	return cas.Object{Body: io.NopCloser(src), Size: int64(len(b))}, nil
}

func (*objects) Check(context.Context) error { return nil }

// stored returns an index and a store with blobs of these sizes.
func stored(sizes ...int) (*rows, *objects) {
	x, o := &rows{}, &objects{bytes: map[cas.Digest][]byte{}}
	for i, size := range sizes {
		b := bytes.Repeat([]byte{byte(i + 1)}, size)
		d := cas.DigestOf(b)
		o.bytes[d] = b
		x.due = append(x.due, cas.Blob{Digest: d, Size: int64(size), State: cas.StateLive})
	}
	return x, o
}

// slow sleeps before each read, as a store does that is slower at times.
type slow struct {
	io.Reader
	pause time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(s.pause) // of the bubble's clock
	return s.Reader.Read(p)
}

// A scrub keeps to its rate within 10 %, whatever the sizes of the objects and the
// number of readers are.
func TestScrubKeepsToItsRate(t *testing.T) {
	many := slices.Repeat([]int{997}, 3000)
	for _, c := range []struct {
		name        string
		rate        int64
		sizes       []int
		concurrency int
		pause       time.Duration
	}{
		{"large objects", 1 << 20, []int{4 << 20, 1, 0, 3 << 20}, 1, 0},
		{"small objects", 100_000, many, 1, 0},
		{"several readers", 1 << 20, []int{3 << 20, 3 << 20, 1 << 20, 5000, 1 << 20}, 3, 0},
		{"a slow store", 1 << 20, []int{4 << 20, 4 << 20}, 2, 5 * time.Millisecond},
		{"very slowly", 100, []int{900, 300, 800}, 1, 0},
		{"fast", 1 << 30, slices.Repeat([]int{1 << 20}, 50), 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, o := stored(c.sizes...)
			if len(x.due) > 1000 { // equal objects are one
				x.due = slices.Repeat(x.due[:1], len(x.due))
			}
			total := 0
			for _, b := range x.due {
				total += int(b.Size)
			}
			synctest.Test(t, func(t *testing.T) {
				if c.pause > 0 {
					o.wrap = func(r io.Reader) io.Reader { return slow{r, c.pause} }
				}
				began := time.Now()
				run, err := scrubber.New(scrubber.Options{Index: x, Objects: o, Rate: c.rate, Concurrency: c.concurrency}).Scrub(t.Context(), scrubber.Plan{})
				if err != nil || run.Bytes != int64(total) || int(run.Blobs) != len(c.sizes) {
					t.Fatalf("the scrub %+v, error %v", run, err)
				}
				got := float64(total) / time.Since(began).Seconds()
				if share := got / float64(c.rate); share < 0.9 || share > 1.1 {
					t.Errorf("%.0f bytes per second, which are %.2f of %d", got, share, c.rate)
				}
			})
		})
	}
}

// A long check keeps its claim: it extends it.
func TestLongCheckKeepsItsClaim(t *testing.T) {
	x, o := stored(3000)
	extended := &extensions{rows: x}
	synctest.Test(t, func(t *testing.T) {
		s := scrubber.New(scrubber.Options{Index: extended, Objects: o, Rate: 10, Lease: time.Minute})
		if run, err := s.Scrub(t.Context(), scrubber.Plan{}); err != nil || run.Blobs != 1 {
			t.Fatalf("the scrub %+v, error %v", run, err)
		}
	})
	if extended.n < 10 {
		t.Errorf("a check of five minutes extended its claim of a minute %d times", extended.n)
	}
}

type extensions struct {
	*rows
	n int
}

func (x *extensions) ExtendClaim(_ context.Context, _ scrubber.Claim, ds ...cas.Digest) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.n += len(ds)
	return nil
}

// A store that sends nothing is given up.
func TestStalledReadEnds(t *testing.T) {
	x, o := stored(3000)
	synctest.Test(t, func(t *testing.T) {
		o.wrap = func(r io.Reader) io.Reader { return slow{r, time.Hour} }
		run, err := scrubber.New(scrubber.Options{Index: x, Objects: o}).Scrub(t.Context(), scrubber.Plan{})
		if err != nil || run.Unread != 1 || run.Damaged != 0 || run.Blobs != 0 {
			t.Errorf("the scrub %+v, error %v", run, err)
		}
	})
}

// BenchmarkScrub measures the rate of a scrub without a limit, and with one.
func BenchmarkScrub(b *testing.B) {
	for name, rate := range map[string]int64{"unlimited": 0, "16MiB": 16 << 20, "64MiB": 64 << 20} {
		b.Run(name, func(b *testing.B) {
			x, o := stored(8 << 20)
			blob := x.due[0]
			x.due = slices.Repeat([]cas.Blob{blob}, b.N)
			b.SetBytes(blob.Size)
			began := time.Now()
			run, err := scrubber.New(scrubber.Options{Index: x, Objects: o, Rate: rate}).Scrub(b.Context(), scrubber.Plan{})
			if err != nil || int(run.Blobs) != b.N {
				b.Fatalf("the scrub %+v, error %v", run, err)
			}
			if rate > 0 {
				b.ReportMetric(float64(run.Bytes)/time.Since(began).Seconds()/float64(rate), "of-rate")
			}
		})
	}
}
