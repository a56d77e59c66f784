package localtier_test

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// inBubble opens a tier in a bubble of synctest, where time passes only while all wait.
func inBubble(t *testing.T, size int64, test func(t *testing.T, inner *memoryStore, tier *localtier.Tier)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		inner := newMemoryStore()
		test(t, inner, newTier(t, inner, localtier.Options{Dir: dir, Size: size}))
	})
}

// uncached stores an object without a copy.
func uncached(inner *memoryStore, size int) cas.ObjectRef {
	b := castest.RandomBytes(size)
	inner.set(refOf(b), b)
	return refOf(b)
}

// While others evict for long, reads and uploads soon go on without a copy.
func TestNobodyWaitsLongForRoom(t *testing.T) {
	t.Parallel()
	inBubble(t, 1000, func(t *testing.T, inner *memoryStore, tier *localtier.Tier) {
		put(t, tier, castest.RandomBytes(1000))
		release := tier.HoldEvictions()
		defer release()
		began := time.Now()
		read(t, tier, uncached(inner, 1000))
		put(t, tier, castest.RandomBytes(1000))
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("a read and an upload waited %v", waited)
		}
		if s := tier.Stats(); s.Fills != 1 || s.Refused != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// After the limit was lowered, nobody waits until the copies fit: objects are read and uploaded without new
// copies. Then copies are made again.
func TestNobodyWaitsForALowerLimit(t *testing.T) {
	t.Parallel()
	inBubble(t, 20_000, func(t *testing.T, inner *memoryStore, tier *localtier.Tier) {
		var refs []cas.ObjectRef
		for range 20 {
			refs = append(refs, put(t, tier, castest.RandomBytes(1000)))
		}
		release := tier.HoldEvictions()
		tier.Shrink(5000)
		began := time.Now()
		read(t, tier, refs[0])
		read(t, tier, uncached(inner, 1000))
		put(t, tier, castest.RandomBytes(1000))
		if waited := time.Since(began); waited > 0 {
			t.Errorf("reads and an upload waited %v", waited)
		}
		if s := tier.Stats(); s.Fills != 20 || s.Hits != 1 {
			t.Errorf("%+v", s)
		}
		release()
		synctest.Wait()
		put(t, tier, castest.RandomBytes(1000))
		if s := tier.Stats(); s.Fills != 21 || s.Bytes > 5000 || s.Evictions != 16 {
			t.Errorf("%+v", s)
		}
	})
}

// If all copies are in use, the tier finds that out in one round through them.
func TestAllCopiesAreInUse(t *testing.T) {
	t.Parallel()
	const copies = 4
	tier := newTier(t, newMemoryStore(), localtier.Options{Size: copies * 1000})
	var open []io.Closer
	for range copies {
		o, err := tier.Open(t.Context(), put(t, tier, castest.RandomBytes(1000)), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, o.Body)
	}
	if looks := tier.LookForMuchRoom(t.Context()); looks > 2*copies {
		t.Errorf("%d looks at %d copies, which are all in use", looks, copies)
	}
	if s := tier.Stats(); s.Evictions != 0 {
		t.Errorf("%+v", s)
	}
	for _, o := range open {
		o.Close()
	}
	tier.LookForMuchRoom(t.Context())
	if s := tier.Stats(); s.Evictions != copies || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// While many read large objects that evict each other, all have the right bytes. In the end the
// record has what is on the disk.
func TestLargeCopiesEvictEachOther(t *testing.T) {
	t.Parallel()
	const size, room = 1<<20 + 5000, 3
	dir := t.TempDir()
	inner := newMemoryStore()
	tier := newTier(t, inner, localtier.Options{Dir: dir, Size: room * size})
	var blobs [][]byte
	for range 6 {
		b := castest.RandomBytes(size)
		inner.set(refOf(b), b)
		blobs = append(blobs, b)
	}
	var readers sync.WaitGroup
	for first := range 4 {
		readers.Go(func() {
			for i := range castest.Thorough(200, 20) {
				b := blobs[(first+i)%len(blobs)]
				if !bytes.Equal(read(t, tier, refOf(b)), b) {
					t.Error("wrong bytes")
				}
				if i%7 == first {
					tier.Forget(refOf(b))
				}
				if n := tier.Stats().Bytes; n > room*size {
					t.Errorf("%d bytes are reserved, and the limit is %d", n, room*size)
				}
			}
		})
	}
	readers.Wait()
	castest.Eventually(t, "the record is right", func() bool { return tier.Stats().Bytes == copiesIn(t, dir) })
	if s := tier.Stats(); s.Evictions == 0 || s.Errors > 0 {
		t.Errorf("%+v", s)
	}
}
