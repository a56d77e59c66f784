package wiring

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casgate/cas"
)

// measuredStore measures the calls of an object store.
type measuredStore struct {
	cas.ObjectStore
	calls *prometheus.HistogramVec
}

// MeasureStore registers the metrics of an object store's calls, and returns the store that
// measures them. It measures the calls for objects; the check of a store has metrics of its
// own.
func MeasureStore(objects cas.ObjectStore, registry *prometheus.Registry) cas.ObjectStore {
	m := &measuredStore{objects, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "casgate_store_call_seconds",
		Help: "Calls of the object store: put, open (until the first byte can be read), stat and delete, by outcome: " +
			"ok, missing, damaged, unavailable, full, canceled (the client left) or failed (such as wrong bytes of an upload).",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"call", "outcome"})}
	registry.MustRegister(m.calls)
	return m
}

// Put implements cas.ObjectStore.
func (m *measuredStore) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	began := time.Now()
	err := m.ObjectStore.Put(ctx, ref, body)
	m.measure(ctx, "put", began, err)
	return err
}

// Open implements cas.ObjectStore.
func (m *measuredStore) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	began := time.Now()
	object, err := m.ObjectStore.Open(ctx, ref, offset, length)
	m.measure(ctx, "open", began, err)
	return object, err
}

// Stat implements cas.ObjectStore.
func (m *measuredStore) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	began := time.Now()
	stat, err := m.ObjectStore.Stat(ctx, ref)
	m.measure(ctx, "stat", began, err)
	return stat, err
}

// Delete implements cas.ObjectStore.
func (m *measuredStore) Delete(ctx context.Context, ref cas.ObjectRef) error {
	began := time.Now()
	err := m.ObjectStore.Delete(ctx, ref)
	m.measure(ctx, "delete", began, err)
	return err
}

func (m *measuredStore) measure(ctx context.Context, call string, began time.Time, err error) {
	m.calls.WithLabelValues(call, storeOutcome(ctx, err)).Observe(time.Since(began).Seconds())
}

func storeOutcome(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, cas.ErrObjectMissing):
		return "missing"
	case errors.Is(err, cas.ErrObjectCorrupt):
		return "damaged"
	case errors.Is(err, cas.ErrNoSpace):
		return "full"
	case ctx.Err() != nil:
		return "canceled"
	case errors.Is(err, cas.ErrStoreUnavailable):
		return "unavailable"
	}
	return "failed"
}
