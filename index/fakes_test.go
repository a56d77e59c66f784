package index_test

import (
	"context"
	"sync"

	"casgate/cas"
	"casgate/index"
)

// rows is an index of live rows in memory.
type rows struct {
	cas.Index // all other methods panic
	mu        sync.Mutex
	live      map[cas.Digest]bool
	asked     int
	// hold, if set, is called by Blob after the row is read.
	hold func()
}

// newRows makes an index in which these blobs are live.
func newRows(ds ...cas.Digest) *rows {
	r := &rows{live: map[cas.Digest]bool{}}
	for _, d := range ds {
		r.live[d] = true
	}
	return r
}

// set makes a blob live, or not.
func (r *rows) set(d cas.Digest, live bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[d] = live
}

// Blob implements cas.Index.
func (r *rows) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	r.mu.Lock()
	r.asked++
	live, hold := r.live[d], r.hold
	r.mu.Unlock()
	if hold != nil {
		hold()
	}
	if ctx.Err() != nil {
		return cas.Blob{}, ctx.Err()
	}
	if !live {
		return cas.Blob{}, cas.ErrBlobNotFound
	}
	return cas.Blob{Digest: d, State: cas.StateLive}, nil
}

// Commit implements cas.Index.
func (r *rows) Commit(_ context.Context, b cas.Blob) (cas.Blob, bool, error) {
	r.set(b.Digest, true)
	b.State = cas.StateLive
	return b, true, nil
}

// Condemn implements cas.Index.
func (r *rows) Condemn(_ context.Context, d cas.Digest, _ cas.CondemnOptions) error {
	r.set(d, false)
	return nil
}

// Trust implements cas.Index.
func (r *rows) Trust(context.Context, cas.ObjectRef) error { return nil }

// Suspect implements cas.Index. A suspect blob isn't live.
func (r *rows) Suspect(_ context.Context, ref cas.ObjectRef) error {
	r.set(ref.Digest, false)
	return nil
}

// SetMediaType implements cas.Index. The rows have no media types, so the test sees a
// change by a row that is gone.
func (r *rows) SetMediaType(_ context.Context, d cas.Digest, _, _ string) error {
	r.set(d, false)
	return nil
}

// FillName implements cas.Index, as SetMediaType does.
func (r *rows) FillName(_ context.Context, d cas.Digest, _ string) error {
	r.set(d, false)
	return nil
}

// feed is a Feed in the test's hands.
type feed struct {
	to    index.Listener
	ready chan struct{}
}

// Listen implements index.Feed.
func (f *feed) Listen(ctx context.Context, l index.Listener) error {
	f.to = l
	close(f.ready)
	<-ctx.Done()
	l.State(false)
	return ctx.Err()
}
