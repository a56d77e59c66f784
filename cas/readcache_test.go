package cas

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
)

// What the cache of blobs is allowed to cost includes what the allocator, the maps of the
// cache and the garbage collector need.
func TestHotBytesAreWhatTheyCost(t *testing.T) {
	usual := debug.SetGCPercent(100)
	defer debug.SetGCPercent(usual)
	for _, size := range []int64{100, 4097, 60_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			const most = 16 << 20
			m, err := newMemory(Options{HotBytes: most, Remembered: 1000})
			if err != nil {
				t.Fatal(err)
			}
			defer m.close()
			before := heapInUse()
			for i := range 2 * most / (size + 100) {
				var d Digest
				binary.LittleEndian.PutUint64(d[:], uint64(i))
				m.keep(d, newHotBytes(size))
				if i%1000 == 0 {
					m.hot.Wait() // the cache drops what comes too fast
				}
			}
			m.hot.Wait()
			// The heap grows to twice of what is in use.
			cost := 2 * (heapInUse() - before)
			if cost > most*5/4 || cost < most/2 {
				t.Errorf("the cache costs %d bytes of the %d that it may", cost, most)
			}
			runtime.KeepAlive(m)
		})
	}
}

// heapInUse returns the bytes of the heap that are reachable.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // ends what the first one's finalizers free
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
