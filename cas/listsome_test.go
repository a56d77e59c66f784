package cas_test

import (
	"context"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore"
)

// manyBlobs is an index of blobs whose sizes are their positions.
type manyBlobs struct {
	cas.Index
	rows   []cas.Blob
	looked int // by the last List
}

func (m *manyBlobs) after(c cas.Cursor) int {
	if c == (cas.Cursor{}) {
		return 0
	}
	return int(c.CreatedAt.Unix()) + 1
}

func (m *manyBlobs) Skip(_ context.Context, after cas.Cursor, n int) (cas.Cursor, error) {
	if last := m.after(after) + n - 1; last < len(m.rows) {
		return cas.Cursor{CreatedAt: m.rows[last].CreatedAt}, nil
	}
	return cas.Cursor{}, nil
}

func (m *manyBlobs) List(_ context.Context, q cas.Query) (page []cas.Blob, err error) {
	m.looked = 0
	for _, b := range m.rows[m.after(q.After):] {
		if len(page) == q.Limit || q.Through != (cas.Cursor{}) && b.CreatedAt.After(q.Through.CreatedAt) {
			break
		}
		m.looked++
		if b.Size >= q.MinSize {
			page = append(page, b)
		}
	}
	return page, nil
}

// A list that matches little looks at a bounded number of blobs, and says where to go
// on. Its parts have each blob once.
func TestListSome(t *testing.T) {
	t.Parallel()
	const blobs, bound = 25_000, 3_000
	x := &manyBlobs{}
	for i := range blobs {
		x.rows = append(x.rows, cas.Blob{Size: int64(i), CreatedAt: time.Unix(int64(i), 0)})
	}
	objects, err := folderstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	s, err := cas.NewStore(objects, x, cas.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, least := range []int{1, blobs / 2, blobs - 1, blobs + 1} {
		q, want, parts := cas.Query{Limit: 3000, MinSize: int64(least)}, max(0, blobs-least), 0
		for {
			page, next, err := s.ListSome(t.Context(), q)
			if err != nil || x.looked > bound {
				t.Fatalf("looked at %d blobs, %v", x.looked, err)
			}
			for _, b := range page {
				if b.Size != int64(blobs-want) {
					t.Fatalf("at least %d: blob %d, want %d", least, b.Size, blobs-want)
				}
				want--
			}
			parts++
			if len(page) == q.Limit {
				next = cas.Cursor{CreatedAt: page[len(page)-1].CreatedAt}
			}
			if next == (cas.Cursor{}) {
				break
			}
			q.After = next
		}
		if want != 0 || parts > blobs/q.Limit+3 {
			t.Errorf("at least %d: %d blobs are missing after %d parts", least, want, parts)
		}
	}
}
