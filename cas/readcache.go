package cas

import (
	"cmp"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

const (
	defaultHotBlobSize = 256 << 10
	defaultHotBytes    = 256 << 20
	defaultSeenFor     = time.Hour
	defaultRemembered  = 100_000
)

// memory is the cache of a Store: the bytes of small hot blobs, and the objects that
// were verified recently. It holds verified facts only, and verified bytes of a digest
// can't become wrong, so no entry is ever out of date. The index alone decides whether
// a reader may see a blob.
type memory struct {
	hotBlobSize int64
	verifiedFor time.Duration
	hot         *ristretto.Cache[string, []byte]       // by digest
	verified    *ristretto.Cache[string, verification] // by object key
	hits        atomic.Int64
	misses      atomic.Int64
	seenFor     time.Duration
	seen        *ristretto.Cache[string, struct{}] // by object key
}

func newMemory(o Options) (*memory, error) {
	m := &memory{hotBlobSize: cmp.Or(o.HotBlobSize, defaultHotBlobSize), verifiedFor: o.VerifiedFor, seenFor: cmp.Or(o.SeenFor, defaultSeenFor)}
	hotBytes := cmp.Or(o.HotBytes, defaultHotBytes)
	var err error
	if m.hotBlobSize > 0 {
		m.hot, err = ristretto.NewCache(&ristretto.Config[string, []byte]{
			// Ten counters for each entry of a cache full of 4 KiB blobs.
			NumCounters:        max(10*hotBytes/4096, 1000),
			MaxCost:            hotBytes,
			BufferItems:        64,
			IgnoreInternalCost: true, // entryCost has it
			Cost:               residentCost(),
		})
		if err != nil {
			return nil, err
		}
	}
	if m.verifiedFor > 0 {
		m.verified, err = newObjectCache[verification](o)
	}
	if err == nil && m.seenFor > 0 {
		m.seen, err = newObjectCache[struct{}](o)
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// entryCost is what the maps of the cache need for an entry, in bytes: measured with blobs of
// 100 bytes.
const entryCost = 240

// residentCost returns the function that tells what a blob in memory costs of the resident
// memory. With the usual GOGC of 100 the heap grows to twice of what is in use before the
// garbage collector frees the rest, so that is twice the bytes that are allocated.
func residentCost() func([]byte) int64 {
	growth := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(growth)
	percent := int64(100)
	if v := growth[0].Value; v.Kind() == metrics.KindUint64 && v.Uint64() <= 1000 { // not off
		percent = int64(v.Uint64())
	}
	return func(b []byte) int64 { return (int64(cap(b)) + entryCost) * (100 + percent) / 100 }
}

// newHotBytes returns a slice of n bytes whose capacity is what the allocator gives it.
func newHotBytes(n int64) []byte { return slices.Grow([]byte{}, int(n))[:n] }

// newObjectCache returns a cache of facts about objects.
func newObjectCache[V any](o Options) (*ristretto.Cache[string, V], error) {
	n := cmp.Or(o.Remembered, defaultRemembered)
	return ristretto.NewCache(&ristretto.Config[string, V]{
		NumCounters:        10 * n,
		MaxCost:            n,
		BufferItems:        64,
		IgnoreInternalCost: true,
	})
}

// close releases the caches; a nil cache's Close does nothing.
func (m *memory) close() {
	m.hot.Close()
	m.verified.Close()
	m.seen.Close()
}

// isSmall reports whether a blob of this size is kept in memory.
func (m *memory) isSmall(size int64) bool { return size <= m.hotBlobSize }

// bytes returns a small blob's bytes. Callers must not change them.
func (m *memory) bytes(d Digest) ([]byte, bool) {
	b, ok := m.hot.Get(string(d[:]))
	if ok {
		m.hits.Add(1)
	} else {
		m.misses.Add(1)
	}
	return b, ok
}

// keep caches verified bytes. The cache may drop them.
func (m *memory) keep(d Digest, b []byte) { m.hot.Set(string(d[:]), b, 0) }

// verification is the result of a full read that found an object right.
type verification struct {
	// version is the object's. It is never empty.
	version     string
	fingerprint fingerprint // of the bytes that were read
}

// verification returns the result of the last full read of an object, if it was recently
// and of this version.
func (m *memory) verification(ref ObjectRef, version string) (verification, bool) {
	v, ok := m.verified.Get(ref.Key())
	return v, ok && v.version == version
}

// remembers reports whether setVerified has a use for an object of this version.
func (m *memory) remembers(version string) bool { return m.verified != nil && version != "" }

func (m *memory) setVerified(ref ObjectRef, v verification) {
	m.verified.SetWithTTL(ref.Key(), v, 1, m.verifiedFor)
}

// isSeen reports whether the object was written, read or looked at recently.
func (m *memory) isSeen(ref ObjectRef) bool {
	_, ok := m.seen.Get(ref.Key())
	return ok
}

func (m *memory) setSeen(ref ObjectRef) { m.seen.SetWithTTL(ref.Key(), struct{}{}, 1, m.seenFor) }

// forgetObject forgets all facts about an object.
func (m *memory) forgetObject(ref ObjectRef) {
	key := ref.Key()
	m.verified.Del(key)
	m.seen.Del(key)
}

// MemoryStats counts the reads of small blobs that memory answered (Hits), and the
// others (Misses).
type MemoryStats struct{ Hits, Misses int64 }

// MemoryStats returns the counts since NewStore.
func (s *Store) MemoryStats() MemoryStats {
	return MemoryStats{Hits: s.memory.hits.Load(), Misses: s.memory.misses.Load()}
}
