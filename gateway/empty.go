package gateway

import (
	"context"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/providers"
)

// emptyLedger is the ledger of a gateway without copies. It has no providers either,
// so no other methods are called.
type emptyLedger struct{ providers.Ledger }

func (emptyLedger) Copies(context.Context, cas.Digest) ([]providers.Copy, error) { return nil, nil }

func (emptyLedger) CopyOfOperation(context.Context, string) (providers.Copy, error) {
	return providers.Copy{}, providers.ErrCopyNotFound
}

// emptyJournal is the journal of a gateway that keeps none.
type emptyJournal struct{}

func (emptyJournal) Records(context.Context, journal.Query) ([]journal.Entry, error) { return nil, nil }

func (emptyJournal) Record(context.Context, string) (journal.Entry, error) {
	return journal.Entry{}, journal.ErrNotFound
}
