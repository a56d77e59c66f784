package collector_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
)

// A collection beside requests works for its share of the time, in the store and in the
// index. After an outage of the store it doesn't rest for long, and without clients it
// doesn't rest at all.
func TestShare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		share   float64
		work    time.Duration                   // for each object
		request func(began time.Time) time.Time // the last one
		want    time.Duration                   // for 500 objects in two batches, whose four changes of rows take 100 ms each
	}{
		"no rest": {share: 1, work: 2 * time.Millisecond, want: time.Second + 400*time.Millisecond},
		"a third": {share: 1.0 / 3, work: 2 * time.Millisecond, want: 3 * (time.Second + 400*time.Millisecond)},
		"a third, beside clients": {
			share: 1.0 / 3, work: 2 * time.Millisecond, request: func(time.Time) time.Time { return time.Now() },
			want: 3 * (time.Second + 400*time.Millisecond),
		},
		"a third, without clients": {
			share: 1.0 / 3, work: 2 * time.Millisecond, request: func(began time.Time) time.Time { return began.Add(-time.Second) },
			want: time.Second + 400*time.Millisecond,
		},
		"a third, until the clients leave after half of the work": {
			share: 1.0 / 3, work: 2 * time.Millisecond,
			request: func(began time.Time) time.Time {
				if last := began.Add(1950 * time.Millisecond); time.Now().After(last) {
					return last
				}
				return time.Now()
			},
			want: 2*time.Second + 800*time.Millisecond,
		},
		"an outage": {share: 1.0 / 3, work: 9 * time.Second, want: 500*(9*time.Second+20*time.Millisecond) + 3*400*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &slow{left: 500, work: c.work}
				began := time.Now()
				o := collector.Options{Index: w, Objects: w, Share: c.share}
				if c.request != nil {
					o.LastRequest = func() time.Time { return c.request(began) }
				}
				run, err := collector.New(o).Collect(t.Context())
				if err != nil || run.Blobs != 500 {
					t.Errorf("the collection is %+v, error %v", run, err)
				}
				if took := time.Since(began).Round(time.Millisecond); took != c.want {
					t.Errorf("it took %v, not %v", took, c.want)
				}
			})
		})
	}
}

// slow is an index and an object store that take their time.
type slow struct {
	left int
	work time.Duration // of a removal
}

const slowRows = 100 * time.Millisecond // of a change of rows

func (s *slow) Due(context.Context, collector.DueQuery) (collector.Due, error) {
	return collector.Due{Blobs: int64(s.left)}, nil
}

func (s *slow) StartDeleting(_ context.Context, b collector.Batch) ([]collector.Object, error) {
	time.Sleep(slowRows)
	objects := make([]collector.Object, min(b.Limit, s.left))
	s.left -= len(objects)
	return objects, nil
}

func (s *slow) FinishDeleting(context.Context, ...cas.ObjectRef) error {
	time.Sleep(slowRows)
	return nil
}

func (s *slow) Delete(context.Context, cas.ObjectRef) error {
	time.Sleep(s.work)
	return nil
}

func (*slow) Blob(context.Context, cas.Digest) (cas.Blob, error) {
	return cas.Blob{}, cas.ErrBlobNotFound
}

func (*slow) SaveRun(context.Context, collector.Run, time.Duration) (bool, error) { return true, nil }

func (*slow) LastRun(context.Context) (collector.Run, bool, error) {
	return collector.Run{}, false, nil
}
