package collector

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
)

const (
	// retentionPage is the number of blobs that one statement looks at.
	retentionPage = 500
	// useFlush is the interval at which the uses of blobs are written.
	useFlush = 30 * time.Second
	// maxRetentionInterval and minRetentionInterval limit the time between two passes,
	// which is otherwise a part of the retention.
	maxRetentionInterval = time.Hour
	minRetentionInterval = time.Second
	// pastGap is the time without a pass after which uses count as not recorded.
	pastGap = 24 * time.Hour
)

// RetentionIndex is what Retention needs of an index. Index drivers implement it.
type RetentionIndex interface {
	// TouchBlobs records that blobs are in use now. It leaves a blob alone that was
	// touched within the last `within`, and ignores blobs without a row.
	TouchBlobs(ctx context.Context, ds []cas.Digest, within time.Duration) error

	// KeepRetention records that uses are recorded now. It returns for how long they have
	// been recorded without a gap that is longer than maxGap.
	KeepRetention(ctx context.Context, maxGap time.Duration) (since time.Duration, err error)

	// CondemnUnreferenced looks at the next visible blobs after a position, in the order
	// of List, which are at least q.Idle old. It condemns those without files, without
	// copies at providers, and without a use for q.Idle.
	CondemnUnreferenced(ctx context.Context, q RetentionQuery) (RetentionPage, error)
}

// RetentionQuery selects the blobs of CondemnUnreferenced.
type RetentionQuery struct {
	Idle  time.Duration
	After cas.Cursor
	Limit int
}

// RetentionPage is the result of CondemnUnreferenced.
type RetentionPage struct {
	Condemned []cas.Digest
	Seen      int        // how many blobs it looked at; fewer than the limit at the end
	Next      cas.Cursor // the position after the last one
}

// RetentionOptions configures a Retention.
type RetentionOptions struct {
	Index RetentionIndex
	// Idle is how long a blob must have been without files, copies and uses.
	Idle time.Duration
	// Uses returns the blobs that were used since its last call.
	Uses func() []cas.Digest
	// Condemned is called with each condemned blob.
	Condemned func(d cas.Digest)
	Log       zerolog.Logger
}

// Retention condemns blobs that nothing refers to and no client uses.
type Retention struct {
	o         RetentionOptions
	condemned atomic.Int64
}

// NewRetention returns a Retention. It starts nothing.
func NewRetention(o RetentionOptions) *Retention { return &Retention{o: o} }

// Condemned returns the number of blobs condemned since the start of the process.
func (r *Retention) Condemned() int64 { return r.condemned.Load() }

// Run records uses and condemns blobs until ctx is done. It returns ctx's error. Every
// gateway that serves reads must run it.
func (r *Retention) Run(ctx context.Context) error {
	interval := min(max(r.o.Idle/24, minRetentionInterval), maxRetentionInterval)
	pass, flush := time.NewTicker(interval), time.NewTicker(min(useFlush, interval))
	defer pass.Stop()
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
			defer cancel()
			r.flush(last)
			return ctx.Err()
		case <-flush.C:
			r.flush(ctx)
		case <-pass.C:
			r.flush(ctx)
			if n, err := r.Pass(ctx); err != nil && ctx.Err() == nil {
				r.o.Log.Warn().Err(err).Msg("could not look for unreferenced blobs; trying again")
			} else if n > 0 {
				r.o.Log.Info().Int("blobs", n).Dur("idle", r.o.Idle).Msg("deleted blobs that nothing refers to")
			}
		}
	}
}

// flush records the uses of blobs. If that fails they are kept for the next time.
func (r *Retention) flush(ctx context.Context) {
	used := r.o.Uses()
	if len(used) == 0 {
		return
	}
	// A blob that is used all the time is written a few times in its retention.
	if err := r.o.Index.TouchBlobs(ctx, used, min(time.Hour, r.o.Idle/8)); err != nil {
		r.o.Log.Warn().Err(err).Int("blobs", len(used)).Msg("could not record that blobs are used")
	}
}

// Pass looks at all blobs once, and returns the number that it condemned. It condemns
// none before uses have been recorded for as long as the retention.
func (r *Retention) Pass(ctx context.Context) (condemned int, err error) {
	since, err := r.o.Index.KeepRetention(ctx, cmp.Or(min(pastGap, r.o.Idle), pastGap))
	if err != nil || since < r.o.Idle {
		return 0, err
	}
	q := RetentionQuery{Idle: r.o.Idle, Limit: retentionPage}
	for {
		page, err := r.o.Index.CondemnUnreferenced(ctx, q)
		if err != nil {
			return condemned, err
		}
		for _, d := range page.Condemned {
			r.o.Condemned(d)
		}
		condemned += len(page.Condemned)
		r.condemned.Add(int64(len(page.Condemned)))
		if page.Seen < q.Limit {
			return condemned, nil
		}
		q.After = page.Next
	}
}
