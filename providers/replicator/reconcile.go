package replicator

import (
	"context"
	"errors"
	"fmt"

	"casgate/providers"
	"casgate/providers/ledger"
)

// Reconciliation is what a comparison of the ledger with a provider's own list
// found, and what was done about it.
type Reconciliation struct {
	Provider string
	Account  string
	Applied  bool
	// Remote and Rows count what was compared.
	Remote, Rows int
	// Unknown are remote files whose names say that a casgate made them, and that no
	// row names. Applied: they were deleted.
	Unknown []providers.RemoteFile
	// Gone are copies whose remote file isn't there. Applied: they are lost, and made
	// again when next asked for.
	Gone []ledger.Copy
	// Elsewhere are copies at other accounts of the provider, which can't be looked at
	// with the present key. Nothing is done about them.
	Elsewhere []ledger.Copy
	// Foreign counts the remote files that are none of ours. They are left alone.
	Foreign int
	// Failures are what could not be done.
	Failures []error
}

// reconcilePage is how many rows are read at a time.
const reconcilePage = 500

// Reconcile compares the ledger with the list of a provider. With apply it mends
// what it finds.
func (r *Replicator) Reconcile(ctx context.Context, provider string, apply bool) (Reconciliation, error) {
	p, err := r.account(provider)
	if err != nil {
		return Reconciliation{}, err
	}
	about := p.Describe()
	report := Reconciliation{Provider: provider, Account: about.Account, Applied: apply}

	// The rows are read once before the list and once after it. A file missing from
	// the list is gone only where its row was ready before; a file without a row is
	// unknown only where it has none after, since a row is claimed before its upload.
	before, err := r.rowsAt(ctx, provider)
	if err != nil {
		return report, err
	}
	remote := make(map[string]providers.RemoteFile)
	for f, err := range p.List(ctx, "") {
		if err != nil {
			return report, fmt.Errorf("list the files at %s: %w", provider, err)
		}
		remote[f.ID] = f
	}
	after, err := r.rowsAt(ctx, provider)
	if err != nil {
		return report, err
	}
	report.Remote, report.Rows = len(remote), len(after)

	named := make(map[string]bool)
	inWork := make(map[providers.ParsedRemoteName]bool)
	for _, c := range after {
		switch {
		case c.Account != about.Account:
			report.Elsewhere = append(report.Elsewhere, c)
		case c.State == ledger.StateUploading, c.State == ledger.StatePending && c.Uncertain, c.State == ledger.StateDeleting:
			inWork[providers.ParsedRemoteName{DigestHex: providers.RemoteNameDigest(c.Digest), Extension: c.Extension}] = true
			fallthrough
		default:
			named[c.FileID] = true
		}
	}
	for _, c := range before {
		purpose, err := about.Purpose(c.Purpose, "")
		if c.Account != about.Account || c.State != ledger.StateReady || err != nil || purpose.Unlisted {
			continue
		}
		if _, ok := remote[c.FileID]; !ok {
			report.Gone = append(report.Gone, c)
		}
	}
	for _, f := range remote {
		name, ours := providers.ParseRemoteName(f.Name)
		switch {
		case named[f.ID]:
		case !ours:
			report.Foreign++
		case inWork[providers.ParsedRemoteName{DigestHex: name.DigestHex, Extension: name.Extension}]:
			// An attempt that is under way, or will look for it, takes care of it.
		default:
			report.Unknown = append(report.Unknown, f)
		}
	}
	if apply {
		r.apply(ctx, p, &report)
	}
	return report, ctx.Err()
}

// apply mends what a comparison found.
func (r *Replicator) apply(ctx context.Context, p providers.Provider, report *Reconciliation) {
	fail := func(err error) {
		if err != nil {
			report.Failures = append(report.Failures, err)
		}
	}
	for _, f := range report.Unknown {
		if err := p.Delete(ctx, f.ID); providers.KindOf(err) != providers.KindLost {
			fail(err)
		}
	}
	for _, c := range report.Gone {
		if err := r.lose(ctx, c); !errors.Is(err, ledger.ErrNotFound) {
			fail(err)
		}
	}
}

// rowsAt reads all rows of a provider.
func (r *Replicator) rowsAt(ctx context.Context, provider string) ([]ledger.Copy, error) {
	var rows []ledger.Copy
	var after ledger.Key
	for {
		page, err := r.ledger.CopiesAt(ctx, provider, after, reconcilePage)
		if err != nil {
			return nil, err
		}
		rows = append(rows, page...)
		if len(page) < reconcilePage {
			return rows, nil
		}
		after = page[len(page)-1].Key
	}
}
