package index

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"golang.org/x/sync/singleflight"

	"casgate/cas"
	"casgate/providers/ledger"
)

// cache keeps answers of a database about digests.
//
// Ristretto applies writes late, in any order, or not at all. So the cache doesn't
// rely on its order: every entry carries the epoch of its digest's shard, read before
// the database was asked, and is valid only while the epoch is the same. To forget a
// digest is to increase the epoch: an answer that was read before is then invalid,
// even if it arrives later.
type cache[T any] struct {
	options CacheOptions
	entries *ristretto.Cache[uint64, *entry[T]]
	flights singleflight.Group

	shards    [epochShards]atomic.Uint64
	global    atomic.Uint64
	listening atomic.Bool               // used only if options.Shared
	beat      atomic.Pointer[time.Time] // all changes before this time are known; nil: unknown

	working context.Context // ends when the cache closes
	stop    context.CancelFunc
	mu      sync.Mutex // orders begin and close
	loads   sync.WaitGroup

	hits, misses atomic.Uint64 // counted by the owner, which knows whether an entry was the one it asked for
}

// epochShards is the number of epochs. Forgetting one digest forgets its whole shard,
// which is one entry in a few thousand.
const epochShards = 4096

// entry is the value of a key. It never changes.
type entry[T any] struct {
	value T
	asked asked
}

// asked is when the database was asked: an answer is as old as its question, however
// late it comes.
type asked struct {
	epoch uint64
	at    time.Time
}

// newCache makes an empty cache.
func newCache[T any](o CacheOptions) (*cache[T], error) {
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
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, *entry[T]]{
		MaxCost:            o.Entries, // an entry costs 1
		IgnoreInternalCost: true,      // without this it would cost 57
		NumCounters:        10 * o.Entries,
		BufferItems:        64,
		KeyToHash:          func(key uint64) (uint64, uint64) { return key, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("index cache: %w", err)
	}
	c := &cache[T]{options: o, entries: entries}
	c.working, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// close ends the cache, after the loads that no caller waits for any more.
func (c *cache[T]) close() {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.loads.Wait()
	c.entries.Close()
}

// begin registers a load that close waits for. It returns an error after close.
func (c *cache[T]) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.working.Err() != nil {
		return fmt.Errorf("%w: its cache is closed", cas.ErrIndexUnavailable)
	}
	c.loads.Add(1)
	return nil
}

// ask returns a question about a digest that is asked now.
func (c *cache[T]) ask(d cas.Digest) asked { return asked{c.epoch(d), time.Now()} }

// epoch returns a digest's epoch: the sum of two numbers that only grow, so it stays
// the same only while both stay the same.
func (c *cache[T]) epoch(d cas.Digest) uint64 {
	return c.shard(d).Load() + c.global.Load()
}

// shard returns the part of the epoch that a digest shares with the others of its shard.
func (c *cache[T]) shard(d cas.Digest) *atomic.Uint64 {
	return &c.shards[binary.LittleEndian.Uint16(d[8:])%epochShards]
}

// forget makes every answer about a digest invalid that was read before the call.
func (c *cache[T]) forget(d cas.Digest) { c.shard(d).Add(1) }

// forgetAll does so for all digests.
func (c *cache[T]) forgetAll() { c.global.Add(1) }

// setListening records whether the feed reports changes by other processes.
func (c *cache[T]) setListening(listening bool) {
	if listening {
		c.setBeat(time.Now())
	}
	c.listening.Store(listening)
	if !listening {
		// Entries with a long TTL could stay wrong for that long.
		c.forgetAll()
	}
}

// setBeat records that all changes are known that other processes made before a time.
func (c *cache[T]) setBeat(at time.Time) {
	c.beat.Store(&at)
}

// isFresh reports whether an answer may still be given. If the cache may have missed a
// change, since the feed doesn't listen or has gone silent, only a young answer may.
func (c *cache[T]) isFresh(answer, question asked) bool {
	if answer.epoch != question.epoch {
		return false
	}
	if !c.options.Shared || question.at.Sub(answer.at) <= c.options.DeafTTL {
		return true
	}
	beat := c.beat.Load()
	return c.listening.Load() && beat != nil && question.at.Sub(*beat) <= c.options.DeafTTL
}

// remember stores the answer to a question. The value expires at until
// at the latest; zero means no such limit.
func (c *cache[T]) remember(key uint64, value T, question asked, until time.Time) {
	ttl := c.options.TTL
	if c.options.Shared && !c.listening.Load() {
		ttl = min(ttl, c.options.DeafTTL)
	}
	ttl -= time.Duration(rand.Float64() / 10 * float64(ttl))
	if ttl -= time.Since(question.at); ttl <= 0 {
		return
	}
	if !until.IsZero() {
		if ttl = min(ttl, time.Until(until)); ttl <= 0 {
			return
		}
	}
	c.entries.SetWithTTL(key, &entry[T]{value, question}, 1, ttl)
}

// recall returns the value of a key if it still answers the question, and nil otherwise. Two
// digests may share a key, so the caller checks that the value is for its digest. The
// caller must not change the value.
func (c *cache[T]) recall(key uint64, question asked) *T {
	if known, ok := c.entries.Get(key); ok && c.isFresh(known.asked, question) {
		return &known.value
	}
	return nil
}

// recallAny is recall without regard to the answer's age.
func (c *cache[T]) recallAny(key uint64) *T {
	if known, ok := c.entries.Get(key); ok {
		return &known.value
	}
	return nil
}

// loadTimeout limits a load, which doesn't end with a single caller's context. It is
// longer than the drivers' own limits, so that their errors, which say what took so
// long, come first.
const loadTimeout = 15 * time.Second

// load asks the index, once for all callers that ask the same at the same time. Another
// process may have added a row since another caller asked: that answer is not taken for
// "there is none", and the index is asked again.
func (c *cache[T]) load(ctx context.Context, flight, doing string, ask func(ctx context.Context) (T, error)) (T, error) {
	var own atomic.Bool // this call asks
	value, err := c.share(ctx, flight, doing, func(ctx context.Context) (T, error) {
		own.Store(true)
		return ask(ctx)
	})
	if c.options.Shared && isAbsent(err) && !own.Load() {
		return c.share(ctx, flight, doing, ask)
	}
	return value, err
}

// isAbsent reports whether an error says that there is no such row.
func isAbsent(err error) bool {
	return errors.Is(err, cas.ErrBlobNotFound) || errors.Is(err, cas.ErrFileNotFound) || errors.Is(err, ledger.ErrNotFound)
}

// share asks the index, or waits for another caller that does.
// Callers share an answer only within an epoch, which must be part of the flight's
// name: a caller after forget must not get an answer that was asked for before it.
func (c *cache[T]) share(ctx context.Context, flight, doing string, ask func(ctx context.Context) (T, error)) (T, error) {
	var none T
	canceled := func() error {
		return fmt.Errorf("%s: %w: %w", doing, cas.ErrIndexUnavailable, ctx.Err())
	}
	if ctx.Err() != nil {
		return none, canceled()
	}
	done := c.flights.DoChan(flight, func() (any, error) {
		// The first caller may leave while other callers still wait.
		if err := c.begin(); err != nil {
			return none, fmt.Errorf("%s: %w", doing, err)
		}
		defer c.loads.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		defer context.AfterFunc(c.working, cancel)()
		if c.options.Shared {
			// A later caller must not get an answer that was asked for long before.
			defer time.AfterFunc(c.options.DeafTTL/2, func() { c.flights.Forget(flight) }).Stop()
		}
		return ask(ctx)
	})
	select {
	case result := <-done:
		value, _ := result.Val.(T)
		return value, result.Err
	case <-ctx.Done():
		return none, canceled()
	}
}

// flightOf returns the name of a lookup within an epoch. The texts tell apart lookups
// of the same digest.
func flightOf(d cas.Digest, epoch uint64, texts ...string) string {
	flight := binary.LittleEndian.AppendUint64(d[:], epoch)
	for _, text := range texts {
		flight = binary.AppendUvarint(flight, uint64(len(text)))
		flight = append(flight, text...)
	}
	return string(flight)
}
