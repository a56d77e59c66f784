package index

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"golang.org/x/sync/singleflight"

	"casgate/cas"
)

// facts remembers what a database said about digests.
//
// Ristretto applies writes later, in any order, or not at all. So it is not
// trusted with order: every fact carries the epoch of its digest's shard from
// before the database was asked, and counts only while the epoch is the same.
// To forget is to move the epoch on; nothing that was read before that, however
// late it comes in, is believed after it.
type facts[T any] struct {
	options CacheOptions
	entries *ristretto.Cache[uint64, *fact[T]]
	flights singleflight.Group

	shards    [epochShards]atomic.Uint64
	global    atomic.Uint64
	listening atomic.Bool // of use only where options.Shared

	hits, misses atomic.Uint64 // counted by the owner, who knows what was a hit
}

// epochShards is how many epochs there are. To forget one digest is to forget all
// of its shard: with so many, one in a few thousand of what is remembered.
const epochShards = 4096

// fact is what is remembered under a key. It is never changed.
type fact[T any] struct {
	value T
	epoch uint64
}

// newFacts makes an empty cache.
func newFacts[T any](o CacheOptions) (*facts[T], error) {
	if o.Entries == 0 {
		o.Entries = DefaultEntries
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.DeafTTL == 0 {
		o.DeafTTL = DefaultDeafTTL
	}
	if o.Entries < 0 || o.TTL < 0 || o.DeafTTL < 0 {
		return nil, fmt.Errorf("index cache: negative options %+v", o)
	}
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, *fact[T]]{
		MaxCost:            o.Entries, // an entry costs 1
		IgnoreInternalCost: true,      // without this it would cost 57
		NumCounters:        10 * o.Entries,
		BufferItems:        64,
		KeyToHash:          func(key uint64) (uint64, uint64) { return key, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("index cache: %w", err)
	}
	return &facts[T]{options: o, entries: entries}, nil
}

// close ends the cache.
func (f *facts[T]) close() { f.entries.Close() }

// epoch returns a digest's epoch. It is a sum of two that only grow, so it stays
// the same only while both do.
func (f *facts[T]) epoch(d cas.Digest) uint64 {
	return f.shard(d).Load() + f.global.Load()
}

// shard returns the part of the epoch that a digest shares with few others.
func (f *facts[T]) shard(d cas.Digest) *atomic.Uint64 {
	return &f.shards[binary.LittleEndian.Uint16(d[8:])%epochShards]
}

// forget makes worthless what was read about a digest before it was called.
func (f *facts[T]) forget(d cas.Digest) { f.shard(d).Add(1) }

// forgetAll is forget for every digest.
func (f *facts[T]) forgetAll() { f.global.Add(1) }

// setListening says whether changes that other processes make are heard.
func (f *facts[T]) setListening(listening bool) {
	f.listening.Store(listening)
	if !listening {
		// What was to be remembered for long might be wrong for long.
		f.forgetAll()
	}
}

// remember keeps a value that was read after the epoch was; at most until the given
// time, unless that is zero.
func (f *facts[T]) remember(key uint64, value T, epoch uint64, until time.Time) {
	ttl := f.options.TTL
	if f.options.Shared && !f.listening.Load() {
		ttl = min(ttl, f.options.DeafTTL)
	}
	ttl += time.Duration((rand.Float64() - 0.5) / 5 * float64(ttl))
	if !until.IsZero() {
		if ttl = min(ttl, time.Until(until)); ttl <= 0 {
			return
		}
	}
	f.entries.SetWithTTL(key, &fact[T]{value, epoch}, 1, ttl)
}

// recall returns what is remembered under a key as of an epoch, or nil. Keys may
// coincide: the caller makes sure that it is what it asked for. It must not be
// changed.
func (f *facts[T]) recall(key, epoch uint64) *T {
	if known, ok := f.entries.Get(key); ok && known.epoch == epoch {
		return &known.value
	}
	return nil
}

// recallAny is recall for whatever epoch.
func (f *facts[T]) recallAny(key uint64) *T {
	if known, ok := f.entries.Get(key); ok {
		return &known.value
	}
	return nil
}

// loadTimeout bounds a load, which no single caller's context does. It is longer
// than what the drivers allow themselves, so that they are the ones to say what
// took so long.
const loadTimeout = 15 * time.Second

// load asks the index, once for all who want to know the same at the same time.
// Callers share an answer only within an epoch, which must be part of the flight:
// who comes after forget must not get what was asked before it.
func (f *facts[T]) load(ctx context.Context, flight, doing string, ask func(ctx context.Context) (T, error)) (T, error) {
	var none T
	left := func() error {
		return fmt.Errorf("%s: %w: %w", doing, cas.ErrIndexUnavailable, ctx.Err())
	}
	if ctx.Err() != nil {
		return none, left()
	}
	done := f.flights.DoChan(flight, func() (any, error) {
		// The first caller may leave while others still wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return ask(ctx)
	})
	select {
	case result := <-done:
		value, _ := result.Val.(T)
		return value, result.Err
	case <-ctx.Done():
		return none, left()
	}
}

// flightOf names a look-up, as of an epoch. The texts are what it is about beside
// the digest.
func flightOf(d cas.Digest, epoch uint64, texts ...string) string {
	flight := binary.LittleEndian.AppendUint64(d[:], epoch)
	for _, text := range texts {
		flight = binary.AppendUvarint(flight, uint64(len(text)))
		flight = append(flight, text...)
	}
	return string(flight)
}
