package indextest

import (
	"sync"
	"testing"

	"casgate/providers"
)

var markTests = []test{
	{"is made once, even by concurrent first calls", func(t *testing.T, x Index) {
		const calls = 8
		marks := make([]providers.Mark, calls)
		errs := make([]error, calls)
		var callers sync.WaitGroup
		for i := range calls {
			callers.Go(func() { marks[i], errs[i] = x.Mark(t.Context()) })
		}
		callers.Wait()
		again, err := x.Mark(t.Context())
		if err != nil || again.Check() != nil {
			t.Fatalf("Mark: %q, error %v", again, err)
		}
		for i, m := range marks {
			if errs[i] != nil || m != again {
				t.Errorf("Mark: %q, error %v; a later call returned %q", m, errs[i], again)
			}
		}
	}},
	{"is restored as long as the index is empty", func(t *testing.T, x Index) {
		for _, mark := range []string{"cas0123456789", "casabcdefghij"} {
			got, err := x.RestoreMark(t.Context(), mark)
			if err != nil || got != mark {
				t.Errorf("RestoreMark(%q): %q, error %v", mark, got, err)
			}
			if got, err := x.Mark(t.Context()); err != nil || string(got) != mark {
				t.Errorf("Mark: %q, error %v; want %q", got, err, mark)
			}
		}
		commit(t, x, blob(digest(t, 0), 0))
		if got, err := x.RestoreMark(t.Context(), "cas0123456789"); err != nil || got != "casabcdefghij" {
			t.Errorf("RestoreMark of an index with blobs: %q, error %v", got, err)
		}
		if got, err := x.RestoreMark(t.Context(), "other"); err == nil {
			t.Errorf("RestoreMark of a text that is no mark: %q", got)
		}
	}},
}

// runTwoMarks tests that each index has a mark of its own.
func runTwoMarks(t *testing.T, open func(t *testing.T) Index) {
	t.Parallel()
	first, second := open(t), open(t)
	one, err := first.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := second.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if one == other {
		t.Errorf("two indexes have the mark %q", one)
	}
}
