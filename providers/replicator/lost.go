package replicator

import (
	"context"
	"time"

	"casgate/providers/ledger"
)

// The limit for lost copies: a file that was lost more than allowedLosses times within
// lossWindow is not uploaded again before the window ends.
const (
	allowedLosses = 3
	lossWindow    = time.Hour
)

// lose records that a provider no longer knows a copy's file.
func (r *Replicator) lose(ctx context.Context, c ledger.Copy) error {
	lost, _, err := r.ledger.Change(ctx, ledger.Lose(c.Key, c.FileID, allowedLosses, lossWindow))
	if err != nil {
		return err
	}
	if lost.State == ledger.StateLost {
		r.metrics.count(c.Provider, outcomeLost)
		r.log.Warn().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("file", c.FileID).Int("losses", lost.Losses).Msg("the provider has lost a file")
	}
	return nil
}
