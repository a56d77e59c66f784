package indextest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"casgate/cas"
)

// together runs f n times at once and waits for all.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

var concurrentTests = []test{
	{"one of 64 commits creates", func(t *testing.T, x Index) {
		for i, state := range []cas.State{none, cas.StateLive, cas.StateSuspect, cas.StateCondemned, cas.StateDeleting, cas.StateGone} {
			d := digest(t, i)
			arrange(t, x, blob(d, 0), state)
			b, want := blob(d, 0), 1
			switch state {
			case cas.StateLive, cas.StateCondemned:
				want = 0
			case cas.StateDeleting, cas.StateGone:
				b.Generation = 1
			}
			var mu sync.Mutex
			creators := 0
			together(64, func(int) {
				row, created, err := x.Commit(t.Context(), b)
				if err != nil || row.State != cas.StateLive || row.Generation != b.Generation {
					t.Errorf("Commit: %+v, error %v", row, err)
				}
				if created {
					mu.Lock()
					creators++
					mu.Unlock()
				}
			})
			if creators != want {
				t.Errorf("%d commits on a %s row say that they created the blob; want %d", creators, state, want)
			}
		}
	}},
	{"every commit of a condemned row finds it live", func(t *testing.T, x Index) {
		for i := range 10 {
			b := blob(digest(t, i), 0)
			arrange(t, x, b, cas.StateCondemned)
			together(8, func(int) {
				if row, created, err := x.Commit(t.Context(), b); err != nil || row.State != cas.StateLive || created {
					t.Errorf("Commit: %+v, created %v, error %v", row, created, err)
				}
				if row, err := x.Touch(t.Context(), b.Digest); err != nil || row.State != cas.StateLive {
					t.Errorf("Touch: %+v, error %v", row, err)
				}
			})
		}
	}},
	{"one collector gets each blob", func(t *testing.T, x Index) {
		const blobs = 40
		for i := range blobs {
			arrange(t, x, blob(digest(t, i), 0), cas.StateCondemned)
		}
		var mu sync.Mutex
		taken := map[cas.ObjectRef]int{}
		take := func(int) {
			for {
				refs, err := StartDeleting(t.Context(), x, 0, 3)
				if err != nil {
					t.Errorf("StartDeleting: %v", err)
				}
				if len(refs) == 0 {
					return
				}
				mu.Lock()
				for _, ref := range refs {
					taken[ref]++
				}
				mu.Unlock()
			}
		}
		together(4, take)
		take(0) // rows that one skipped because another had them locked, and then put back
		for ref, n := range taken {
			if n != 1 {
				t.Errorf("%v was taken %d times", ref, n)
			}
		}
		if len(taken) != blobs {
			t.Errorf("%d blobs were taken; want %d", len(taken), blobs)
		}
	}},
	{"a blob that readers see has its object", func(t *testing.T, x Index) {
		for round := range 15 {
			// This copies the calls of the store and the collector, over objects in memory.
			// In any interleaving, the collector never removes the object of a visible row.
			s := &objects{held: map[cas.ObjectRef]bool{}}
			d := digest(t, round)
			together(8, func(i int) {
				for range 4 {
					switch i % 4 {
					case 0, 1:
						s.upload(t, x, d)
					case 2:
						if err := x.Condemn(t.Context(), d, cas.CondemnOptions{}); err != nil && !errors.Is(err, cas.ErrBlobNotFound) {
							t.Errorf("Condemn: %v", err)
						}
					case 3:
						s.collect(t, x)
					}
				}
			})
			b, err := x.Blob(t.Context(), d)
			if err != nil && !errors.Is(err, cas.ErrBlobNotFound) {
				t.Fatal(err)
			}
			if err == nil && !s.has(b.Object()) {
				t.Errorf("round %d: the row is %s at generation %d, and there is no such object", round, b.State, b.Generation)
			}
			s.upload(t, x, d)
			if b, err = x.Blob(t.Context(), d); err != nil || !s.has(b.Object()) {
				t.Errorf("round %d: after an upload the row is %+v, its object there: %v, error %v", round, b, s.has(b.Object()), err)
			}
		}
	}},
	{"writers of many blobs don't disturb each other", func(t *testing.T, x Index) {
		together(16, func(i int) {
			for j := range 5 {
				d := cas.DigestOf(fmt.Appendf(nil, "%s %d %d", t.Name(), i, j))
				if _, created, err := x.Commit(t.Context(), blob(d, 0)); err != nil || !created {
					t.Errorf("Commit: created %v, error %v", created, err)
				}
				if b, err := x.Blob(t.Context(), d); err != nil || b.Digest != d {
					t.Errorf("Blob: %+v, error %v", b, err)
				}
			}
		})
	}},
}

// objects is an object store that holds no bytes.
type objects struct {
	mu   sync.Mutex
	held map[cas.ObjectRef]bool
}

// set stores or removes an object.
func (s *objects) set(ref cas.ObjectRef, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[ref] = held
}

// has reports whether an object is there.
func (s *objects) has(ref cas.ObjectRef) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[ref]
}

// upload stores a blob the way the contract says.
func (s *objects) upload(t testing.TB, x Index, d cas.Digest) {
	b := blob(d, 0)
	row, err := x.Touch(t.Context(), d)
	switch {
	case err == nil && row.State == cas.StateLive:
		return
	case err == nil:
		b.Generation = row.NextObject().Generation
	case !errors.Is(err, cas.ErrBlobNotFound):
		t.Errorf("Touch: %v", err)
		return
	}
	for range 100 {
		s.set(b.Object(), true)
		row, _, err := x.Commit(t.Context(), b)
		if err != nil {
			t.Errorf("Commit: %v", err)
			return
		}
		if row.State == cas.StateLive {
			return
		}
		b.Generation = row.NextObject().Generation
	}
	t.Error("a hundred commits did not make the blob live")
}

// collect removes condemned blobs as the contract requires.
func (s *objects) collect(t testing.TB, x Index) {
	refs, err := StartDeleting(t.Context(), x, 0, 10)
	if err != nil {
		t.Errorf("StartDeleting: %v", err)
	}
	for _, ref := range refs {
		s.set(ref, false)
		if err := x.FinishDeleting(t.Context(), ref); err != nil {
			t.Errorf("FinishDeleting: %v", err)
		}
	}
}
