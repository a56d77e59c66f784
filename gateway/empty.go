package gateway

import (
	"context"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/providers/ledger"
)

// emptyLedger is the ledger of a gateway without copies. It has no providers either,
// so no other methods are called.
type emptyLedger struct{ ledger.Store }

func (emptyLedger) Copies(context.Context, cas.Digest) ([]ledger.Copy, error) { return nil, nil }

func (emptyLedger) CopyOfOperation(context.Context, string) (ledger.Copy, error) {
	return ledger.Copy{}, ledger.ErrNotFound
}

// emptyJournal is the journal of a gateway that keeps none.
type emptyJournal struct{}

func (emptyJournal) Records(context.Context, journal.Query) ([]journal.Entry, error) { return nil, nil }

func (emptyJournal) Record(context.Context, string) (journal.Entry, error) {
	return journal.Entry{}, journal.ErrNotFound
}

// noTexts are the texts of a gateway that knows none.
type noTexts struct{}

func (noTexts) Condemn(context.Context, cas.Digest) ([]cas.ReleasedText, error) { return nil, nil }
