package replicator

import (
	"context"
	"fmt"
	"time"

	"casgate/providers/ledger"
)

const (
	// pollWait is the interval between two reads of a row that another gateway works on,
	// in case its announcement got lost.
	pollWait = time.Second
)

// await returns when a row may have changed, is due, or its lease has run out.
func (r *Replicator) await(ctx context.Context, c ledger.Copy, changed <-chan struct{}) error {
	limit := pollWait
	if c.State == ledger.StatePending {
		// A little late rather than early: the database's clock decides.
		limit = min(limit, max(untilDue(c), 0)+10*time.Millisecond)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", c.Key, context.Cause(ctx))
	}
}
