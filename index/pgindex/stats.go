package pgindex

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Connections are figures of the pool of connections.
type Connections struct {
	Used, Idle, Max int
	// Waits counts the calls that had to wait for a connection, since the start, and Waited is
	// how long all calls together waited.
	Waits  int64
	Waited time.Duration
}

// Connections returns the figures of now.
func (x *Index) Connections() Connections {
	s := x.pool.Stat()
	return Connections{
		Used: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Max: int(s.MaxConns()),
		Waits: s.EmptyAcquireCount(), Waited: s.AcquireDuration(),
	}
}

// ObserveQueries lets f know of each query that begins from now on. f must return at once.
func (x *Index) ObserveQueries(f func(took time.Duration, outcome QueryOutcome)) {
	x.watcher.onQuery.Store(&f)
}

// QueryOutcome is how a query ended.
type QueryOutcome string

// The outcomes of queries.
const (
	QueryOK       QueryOutcome = "ok"
	QueryFailed   QueryOutcome = "failed"
	QueryCanceled QueryOutcome = "canceled" // the client left, or the time was over
)

// queryStart is the key of a query's start in its context.
type queryStart struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (w *writeWatcher) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return w.begin(ctx)
}

// TraceBatchStart implements pgx.BatchTracer. Statements that are sent together count as one
// query.
func (w *writeWatcher) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return w.begin(ctx)
}

// TraceBatchQuery implements pgx.BatchTracer.
func (w *writeWatcher) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// begin returns the context of a query that begins.
func (w *writeWatcher) begin(ctx context.Context) context.Context {
	if w.onQuery.Load() == nil {
		return ctx
	}
	return context.WithValue(ctx, queryStart{}, time.Now())
}

// report tells the observer of a query.
func (w *writeWatcher) report(ctx context.Context, err error) {
	observe := w.onQuery.Load()
	if observe == nil {
		return
	}
	began, ok := ctx.Value(queryStart{}).(time.Time)
	if !ok { // it began before
		return
	}
	outcome := QueryOK
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		outcome = QueryCanceled
	case err != nil:
		outcome = QueryFailed
	}
	(*observe)(time.Since(began), outcome)
}
