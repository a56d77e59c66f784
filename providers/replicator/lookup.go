package replicator

import (
	"context"
	"fmt"

	"casgate/cas"
	"casgate/providers/ledger"
)

// Copies returns what the ledger knows of a blob's copies, at all accounts. It
// never uploads.
func (r *Replicator) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	return r.ledger.Copies(ctx, d)
}

// Copy returns the copy that a request would give, in whatever state it is, or
// ErrCopyNotFound. Where the request names neither purpose nor name and there is no
// copy of the default ones, the newest of the provider's will do. It never
// uploads.
func (r *Replicator) Copy(ctx context.Context, q Request) (ledger.Copy, error) {
	copies, err := r.copiesAt(ctx, q)
	if err != nil {
		return ledger.Copy{}, err
	}
	if j, err := r.plan(ctx, q); err == nil {
		for _, c := range copies {
			if c.Key == j.wanted.Key {
				return c, nil
			}
		}
	}
	if len(copies) == 0 || q.Name != "" {
		return ledger.Copy{}, fmt.Errorf("%w: %s has none at %s; ask for one with PUT", ledger.ErrNotFound, q.Digest, q.Provider)
	}
	return copies[len(copies)-1], nil
}

// copiesAt returns the rows of a blob at a provider's present account, of the
// request's purpose where it names one.
func (r *Replicator) copiesAt(ctx context.Context, q Request) ([]ledger.Copy, error) {
	p, err := r.account(q.Provider)
	if err != nil {
		return nil, err
	}
	all, err := r.ledger.Copies(ctx, q.Digest)
	if err != nil {
		return nil, err
	}
	account := p.Describe().Account
	var copies []ledger.Copy
	for _, c := range all {
		if c.Account == account && (q.Purpose == "" || c.Purpose == q.Purpose) {
			copies = append(copies, c)
		}
	}
	return copies, nil
}

// Operation returns the copy that an operation is about, or ErrCopyNotFound.
func (r *Replicator) Operation(ctx context.Context, id string) (ledger.Copy, error) {
	return r.ledger.CopyOfOperation(ctx, id)
}
