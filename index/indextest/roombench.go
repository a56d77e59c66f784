package indextest

import (
	"fmt"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// BenchmarkRoom measures what an upload to an account does that has many ready copies, of
// the purposes "file-extract" and "batch": the parts of a claim, of an eviction, and of the
// list of providers.
func BenchmarkRoom(b *testing.B, x Index, account string) {
	key := func(n int) ledger.Key {
		return ledger.Key{Digest: cas.DigestOf(fmt.Append(nil, "room ", n)), Provider: provider, Account: account, Purpose: "batch"}
	}
	b.Run("usage", func(b *testing.B) {
		for b.Loop() {
			if usage, err := x.CopyUsage(b.Context(), account); err != nil || len(usage) != 2 {
				b.Fatal(usage, err)
			}
		}
	})
	b.Run("begun deletes", func(b *testing.B) {
		for b.Loop() {
			if some, err := x.Deletes(b.Context(), account); err != nil || len(some) > 0 {
				b.Fatal(some, err)
			}
		}
	})
	n := 0
	b.Run("claim and complete", func(b *testing.B) {
		for b.Loop() {
			n++
			w := ledger.Wanted{Key: key(n), Name: "a", MediaType: "text/plain", Size: size, OperationID: fmt.Sprint(n)}
			c, won, err := x.Change(b.Context(), ledger.Claim(w, long))
			if err != nil || !won {
				b.Fatal(won, err)
			}
			if _, won, err = x.Change(b.Context(), ledger.Complete(c.Key, c.Fence, file("1", providers.StatusReady, time.Time{}))); err != nil || !won {
				b.Fatal(won, err)
			}
		}
	})
	for _, purpose := range []string{"", "batch"} {
		b.Run(fmt.Sprintf("eviction of purpose %q", purpose), func(b *testing.B) {
			for b.Loop() {
				c, won, err := EvictLeastUsed(b.Context(), x, ledger.Eviction{Room: key(0), Purpose: purpose}, long)
				if err != nil || !won {
					b.Fatal(won, err)
				}
				if _, done, err := x.Change(b.Context(), ledger.FinishDelete(c.Key, c.Fence, ledger.StateEvicted, 0)); err != nil || !done {
					b.Fatal(done, err)
				}
			}
		})
	}
	for _, purpose := range []string{"", "batch"} {
		b.Run(fmt.Sprintf("expired of purpose %q", purpose), func(b *testing.B) {
			for b.Loop() {
				if _, err := x.Expired(b.Context(), key(0), purpose, 16); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("uses of 100 copies", func(b *testing.B) {
		some, err := x.LeastUsed(b.Context(), key(0), "batch", 100)
		if err != nil || len(some) != 100 {
			b.Fatal(len(some), err)
		}
		at := time.Now()
		for b.Loop() {
			at = at.Add(time.Second)
			uses := make(map[ledger.Key]time.Time, len(some))
			for _, c := range some {
				uses[c.Key] = at
			}
			if err := x.UseCopies(b.Context(), uses); err != nil {
				b.Fatal(err)
			}
		}
	})
}
