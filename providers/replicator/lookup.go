package replicator

import (
	"context"
	"fmt"
	"slices"

	"casgate/cas"
	"casgate/providers/ledger"
)

// Copies returns the rows of a blob's copies at all accounts. It never uploads.
func (r *Replicator) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	return r.ledger.Copies(ctx, d)
}

// Copy returns the row of the requested copy, in any state, or ledger.ErrNotFound. If the
// request has neither purpose nor name, and the default copy doesn't exist, it returns
// the newest copy at the provider. It never uploads.
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
		return ledger.Copy{}, noCopyError(q)
	}
	return copies[len(copies)-1], nil
}

func noCopyError(q Request) error {
	return fmt.Errorf("%w: %s has none at %s; ask for one with PUT", ledger.ErrNotFound, q.Digest, q.Provider)
}

// copiesAt returns the rows of a blob at the configured account of a provider. If the
// request has a purpose, it returns those of that purpose only.
func (r *Replicator) copiesAt(ctx context.Context, q Request) ([]ledger.Copy, error) {
	p, err := r.account(q.Provider)
	if err != nil {
		return nil, err
	}
	all, err := r.copiesAtAll(ctx, q)
	if err != nil {
		return nil, err
	}
	account := p.Describe().Account
	return slices.DeleteFunc(all, func(c ledger.Copy) bool { return c.Account != account }), nil
}

// copiesAtAll is copiesAt for all accounts of a provider.
func (r *Replicator) copiesAtAll(ctx context.Context, q Request) ([]ledger.Copy, error) {
	all, err := r.ledger.Copies(ctx, q.Digest)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c ledger.Copy) bool {
		return c.Provider != q.Provider || q.Purpose != "" && c.Purpose != q.Purpose
	}), nil
}

// Operation returns the row of an operation's copy, or ledger.ErrNotFound.
func (r *Replicator) Operation(ctx context.Context, id string) (ledger.Copy, error) {
	return r.ledger.CopyOfOperation(ctx, id)
}
