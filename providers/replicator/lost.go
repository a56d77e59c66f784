package replicator

import (
	"context"
	"time"

	"casgate/providers/ledger"
)

// The loop guard of lost copies: a file that was lost more often than that within
// the window is left alone until the window is over.
const (
	allowedLosses = 3
	lossWindow    = time.Hour
)

// lose records that a provider doesn't know a copy's file any more.
func (r *Replicator) lose(ctx context.Context, c ledger.Copy) error {
	lost, err := r.ledger.LoseCopy(ctx, c.Key, c.FileID, allowedLosses, lossWindow)
	if err != nil {
		return err
	}
	if lost.State == ledger.StateLost {
		r.metrics.count(c.Provider, outcomeLost)
		r.log.Warn().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("file", c.FileID).Int("losses", lost.Losses).Msg("the provider has lost a file")
	}
	return nil
}
