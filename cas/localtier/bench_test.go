package localtier_test

import (
	"fmt"
	"testing"

	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// BenchmarkStart starts a tier whose folder an earlier start has made.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		tier, err := localtier.New(newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := tier.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkEviction uploads objects to a full tier of a few or many copies, so that each upload
// evicts one.
func BenchmarkEviction(b *testing.B) {
	const size = 1000
	for _, copies := range []int{8, 500} {
		b.Run(fmt.Sprintf("%d copies", copies), func(b *testing.B) {
			tier := newTier(b, newMemoryStore(), localtier.Options{Size: int64(size * copies)})
			for range copies {
				put(b, tier, castest.RandomBytes(size))
			}
			for b.Loop() {
				put(b, tier, castest.RandomBytes(size))
			}
			if s := tier.Stats(); s.Evictions == 0 { // fewer than uploads, if the disk is slow
				b.Errorf("no evictions: %+v", s)
			}
		})
	}
}
