package pgindex

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"casgate/cas/journal"
)

// The queries that tests explain.
var (
	ListFilesQuery   = listFiles
	ListRecordsQuery = listRecords
)

// The queries that an upload to a full account makes, which tests explain.
var (
	LeastUsedQuery = sqlLeastUsed
	ExpiredQuery   = sqlExpired
	CopyUsageQuery = sqlCopyUsage
	DeletesQuery   = sqlDeletes
)

// LockJournal is the first statement of a transaction that appends to the journal.
var LockJournal = fmt.Sprintf("select pg_advisory_xact_lock(%d)", journalLock)

// MakeReadOnly makes all connections of the pool read-only, as those to a primary that
// became a standby are.
func MakeReadOnly(t testing.TB, x *Index) {
	t.Helper()
	for _, conn := range x.pool.AcquireAllIdle(t.Context()) {
		if _, err := conn.Exec(t.Context(), "set session characteristics as transaction read only"); err != nil {
			t.Error(err)
		}
		conn.Release()
	}
}

// AllowReset lets the next reset come at once.
func AllowReset(x *Index) { x.watcher.seldom = rate.Sometimes{Interval: time.Second} }

// PruneRecordsOn is PruneRecords on another day than today.
func (x *Index) PruneRecordsOn(ctx context.Context, p journal.Prune, today time.Time) (int, error) {
	return x.pruneRecords(ctx, p, dayOf(today))
}
