// Package scrubber checks stored objects: it reads their bytes again and compares the
// digests.
//
// It claims blobs in batches, the longest unverified first, so that any number of
// processes share the work and none is checked twice at once:
//
//	claim   the rows of a batch get this scrub's claim, which runs out without it
//	read    each object is read and hashed; a wrong or missing one is read a second time
//	record  a right one counts as verified now, a damaged one becomes suspect
//	repair  a damaged object is written again, from a source that has the right bytes
//
// Nothing is ever deleted. What does not prove damage leaves the row as it is: a read
// that fails or stalls, a blob that was stored anew or deleted during the check. If most
// objects of a batch are damaged, or the store is not the index's, the scrub stops and
// marks none of them: then the store is more likely to be the wrong one.
package scrubber

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"casgate/cas"
)

// The defaults of Options.
const (
	DefaultConcurrency = 1
	DefaultInterval    = time.Minute
	defaultLease       = time.Minute
	defaultStall       = time.Minute
)

// The errors of a scrub, besides *BrakeError and those of the index and the store.
var (
	// ErrRunning: another scrub by command is at work, or its lease has not ended.
	ErrRunning = errors.New("another scrub is running, or was killed in the last minute")
	// ErrNothingToResume: no scrub was interrupted.
	ErrNothingToResume = errors.New("there is no interrupted scrub")
)

// Step is a step of checking a blob.
type Step string

// The steps, named for what is done when they are reported.
const (
	StepClaimed  Step = "scrub-claimed"  // the row has the claim
	StepRead     Step = "scrub-read"     // the object was read
	StepMarked   Step = "scrub-marked"   // the blob of a damaged object is suspect
	StepRestored Step = "scrub-restored" // a damaged object is written again, and its blob is still suspect
)

// Outcome is the result for one blob.
type Outcome string

// The outcomes.
const (
	OutcomeRight    Outcome = "right"
	OutcomeHealed   Outcome = "healed"   // it was suspect, and its object is right
	OutcomeDamaged  Outcome = "damaged"  // it is suspect
	OutcomeRepaired Outcome = "repaired" // it was damaged, and is right again
	OutcomeUnread   Outcome = "unread"   // the object could not be read, which proves nothing
	OutcomeChanged  Outcome = "changed"  // it was deleted or stored anew during the check
)

// Result is the outcome for one blob.
type Result struct {
	Blob    cas.Blob
	Began   time.Time
	Outcome Outcome
	// Err says why the object is damaged or was not read. It wraps cas.ErrObjectMissing or
	// cas.ErrObjectCorrupt if it is damaged.
	Err error
	// Source names the source of a repair.
	Source string
	// RepairErr says why a damaged object was not repaired. It is nil if that was not tried.
	RepairErr error
}

// Options configures a Scrubber. Zero values mean the defaults.
type Options struct {
	Index   Index
	Objects cas.ObjectStore
	// CheckStore returns an error if the object store is not the index's. It is called
	// before blobs become suspect. Optional.
	CheckStore func(ctx context.Context) error
	// Sources are where a repair looks for the right bytes, in this order. Without any,
	// nothing is repaired.
	Sources []Source
	// Rate limits the bytes that are read per second; 0 means no limit.
	Rate int64
	// Concurrency is how many objects are read at the same time.
	Concurrency int
	Brake       Brake
	// Every is the time after which Run verifies a blob again.
	Every time.Duration
	// Interval is how often Run looks for blobs that are due.
	Interval time.Duration
	// Lease is the time after which the claims of a scrub that reports nothing run out.
	Lease time.Duration
	// Stall is how long a read may bring no byte.
	Stall time.Duration
	// Forget is called for each object whose blob becomes suspect, directly before and after
	// that, and before any repair. So caches need not wait until they learn of it. Optional.
	Forget func(cas.ObjectRef)
	// Notify is called with the outcome for each blob, from one goroutine at a time.
	// Optional.
	Notify func(Result)
	// Progress is called with the state of a scrub by command after each blob. Optional.
	Progress func(Run)
	// OnStep is for tests: it is called after each step for each blob. Optional.
	OnStep func(Step, cas.ObjectRef)
	Log    zerolog.Logger
}

// Scrubber checks stored objects.
type Scrubber struct {
	o       Options
	limiter *rate.Limiter
	chunk   int // the most bytes of one read
	stats   stats
}

// maxChunk is the most bytes that are read at once.
const maxChunk = 256 << 10

// New returns a Scrubber. It starts nothing.
func New(o Options) *Scrubber {
	o.Concurrency = cmp.Or(o.Concurrency, DefaultConcurrency)
	o.Interval = cmp.Or(o.Interval, DefaultInterval)
	o.Lease = cmp.Or(o.Lease, defaultLease)
	o.Stall = cmp.Or(o.Stall, defaultStall)
	if o.CheckStore == nil {
		o.CheckStore = func(context.Context) error { return nil }
	}
	if o.Forget == nil {
		o.Forget = func(cas.ObjectRef) {}
	}
	if o.Notify == nil {
		o.Notify = func(Result) {}
	}
	if o.Progress == nil {
		o.Progress = func(Run) {}
	}
	if o.OnStep == nil {
		o.OnStep = func(Step, cas.ObjectRef) {}
	}
	s := &Scrubber{o: o, limiter: rate.NewLimiter(rate.Inf, 0), chunk: maxChunk}
	if o.Rate > 0 {
		// A burst is 20 ms long: longer than a timer is late, and too short to count.
		burst := max(1, int(min(o.Rate/50, 64<<20)))
		s.limiter, s.chunk = rate.NewLimiter(rate.Limit(o.Rate), burst), min(burst, maxChunk)
		s.limiter.AllowN(time.Now(), burst) // it begins without one
	}
	return s
}

// stats are figures since the start of the process.
type stats struct {
	blobs, bytes, damaged, healed, repaired, unread atomic.Int64
	stopped                                         atomic.Bool
	lastSuccess                                     atomic.Int64 // seconds since 1970; 0: none
}

// count adds the outcome for one blob.
func (s *stats) count(o Outcome) {
	switch o {
	case OutcomeRight:
		s.blobs.Add(1)
	case OutcomeHealed:
		s.blobs.Add(1)
		s.healed.Add(1)
	case OutcomeDamaged:
		s.blobs.Add(1)
		s.damaged.Add(1)
	case OutcomeRepaired:
		s.blobs.Add(1)
		s.damaged.Add(1)
		s.repaired.Add(1)
	case OutcomeUnread:
		s.unread.Add(1)
	}
}

// Stats are the figures of a scrubber for metrics.
type Stats struct {
	Blobs, Bytes, Damaged, Healed, Repaired, Unread int64 // since the start of the process
	Stopped                                         bool  // the last pass of Run ended early
	LastSuccess                                     int64 // when Run last found nothing more to check, in seconds since 1970
}

// Stats returns the scrubber's figures.
func (s *Scrubber) Stats() Stats {
	return Stats{
		Blobs: s.stats.blobs.Load(), Bytes: s.stats.bytes.Load(), Damaged: s.stats.damaged.Load(), Healed: s.stats.healed.Load(),
		Repaired: s.stats.repaired.Load(), Unread: s.stats.unread.Load(),
		Stopped: s.stats.stopped.Load(), LastSuccess: s.stats.lastSuccess.Load(),
	}
}
