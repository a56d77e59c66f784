package sqliteindex

import (
	"context"
	"time"

	"casgate/index"
)

var _ index.Feed = (*Index)(nil)

// listenInterval is how often Listen looks. So long a change by another process may go
// unnoticed.
const listenInterval = time.Second

// Listen implements index.Feed for commands that run beside a gateway. SQLite doesn't say
// what another process has changed, but only that it has. So each report is a gap.
func (x *Index) Listen(ctx context.Context, to index.Listener) error {
	to = index.FanOut(to)
	tick := time.NewTicker(listenInterval)
	defer tick.Stop()
	var known int64
	for {
		// An error is an outage. The next look finds what changed meanwhile.
		if version, err := x.version(ctx); err == nil && version != known {
			known = version
			to.Gap()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// version returns a number that changes when another process commits. It asks the
// connection that makes all of this process's own changes: those don't change the number.
func (x *Index) version(ctx context.Context) (version int64, err error) {
	call, cancel := bounded(ctx)
	defer cancel()
	err = x.writer.QueryRowContext(call, "pragma data_version").Scan(&version)
	return version, err
}
