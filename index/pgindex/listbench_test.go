package pgindex_test

import (
	"fmt"
	"sync"
	"testing"

	"casgate/cas"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

// BenchmarkListThatMatchesNothing measures a page of a list among a million blobs of
// which none matches: looking at all of them, and at a part; and a look-up while 16
// clients ask for whole lists.
func BenchmarkListThatMatchesNothing(b *testing.B) {
	url := pgtest.New(b)
	x := newTestIndex(b, url)
	if _, err := x.db.Exec(b.Context(), `insert into blobs (digest, size, media_type, name, generation, state, created_at, touched_at, commit_id)
		select sha256(n::text::bytea), n, 'text/plain', '', 0, 'live', now() - n * interval '1 second', now(), n from generate_series(1, 1000000) n`); err != nil {
		b.Fatal(err)
	}
	if _, err := x.db.Exec(b.Context(), `vacuum analyze blobs`); err != nil {
		b.Fatal(err)
	}
	q := cas.Query{Limit: 101, MediaType: "image/png"}
	whole := func(x *pgindex.Index) {
		if page, err := x.List(b.Context(), q); err != nil || len(page) > 0 {
			b.Error(len(page), err)
		}
	}
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			whole(x.Index)
		}
	})
	b.Run("part", func(b *testing.B) {
		for b.Loop() {
			part, err := q, error(nil)
			if part.Through, err = x.Skip(b.Context(), q.After, 10_000); err != nil {
				b.Fatal(err)
			}
			if page, err := x.List(b.Context(), part); err != nil || len(page) > 0 {
				b.Fatal(len(page), err)
			}
		}
	})
	b.Run("look-up beside 16 lists", func(b *testing.B) {
		done := make(chan struct{})
		var lists sync.WaitGroup
		for range 16 {
			lists.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						// Some wait for their turn for too long, and fail.
						if _, err := x.List(b.Context(), q); err != nil {
							continue
						}
					}
				}
			})
		}
		n := 0
		for b.Loop() {
			n++
			d := cas.DigestOf(fmt.Append(nil, n))
			if _, err := x.Blob(b.Context(), d); err != nil {
				b.Error(err)
			}
		}
		close(done)
		lists.Wait()
	})
}
