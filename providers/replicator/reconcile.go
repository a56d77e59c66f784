package replicator

import (
	"context"
	"errors"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// Reconciliation is the result of comparing the ledger with a provider's list.
type Reconciliation struct {
	Provider string
	Account  string
	Applied  bool
	// Remote and Rows count the compared files and rows.
	Remote, Rows int
	// Unknown are remote files with this installation's mark in their names, but without a
	// row. Applied: they were deleted.
	Unknown []providers.RemoteFile
	// Others are the remote files of other casgates. They don't change.
	Others OthersFiles
	// Gone are copies whose remote file is missing. Applied: they are lost, and uploaded
	// again at the next request.
	Gone []ledger.Copy
	// Deletes are copies that wait for their delete, although their remote file is missing.
	// Applied: they are deleted.
	Deletes []ledger.Copy
	// Elsewhere are copies at other accounts of the provider, which the configured key
	// can't list. They don't change.
	Elsewhere []ledger.Copy
	// Misplaced are copies at other accounts whose remote files are in this account's list:
	// it is the same account with another key or name. They don't change;
	// ledger.MoveAccount moves them.
	Misplaced []ledger.Copy
	// Foreign counts the remote files of other programs: their names are not exactly those
	// that a casgate gives.
	// They don't change.
	Foreign int
	// Failures are the errors of applying the changes.
	Failures []error
}

// OthersFiles counts remote files with the marks of other installations.
type OthersFiles struct {
	Files    int
	Bytes    int64                  // 0 for a file whose list entry has no size
	Examples []providers.RemoteFile // at most maxExamples
}

const maxExamples = 5

func (o *OthersFiles) add(f providers.RemoteFile) {
	o.Files++
	o.Bytes += f.Size
	if len(o.Examples) < maxExamples {
		o.Examples = append(o.Examples, f)
	}
}

// ReconcileOptions configures a reconciliation.
type ReconcileOptions struct {
	// Apply: delete the unknown files and mark the missing ones as lost. Otherwise the
	// reconciliation only reports.
	Apply bool
}

// Reconcile compares the ledger with the list of a provider.
func (r *Replicator) Reconcile(ctx context.Context, provider string, o ReconcileOptions) (Reconciliation, error) {
	p, err := r.account(provider)
	if err != nil {
		return Reconciliation{}, err
	}
	description := p.Describe()
	report := Reconciliation{Provider: provider, Account: description.Account, Applied: o.Apply}
	mark, err := r.installationMark(ctx)
	if err != nil {
		return report, err
	}

	// The rows are read before the list and again after it. A missing file is gone only
	// if its row was ready before the list. A file is unknown only if it has no row after
	// the list, since a row is claimed before its upload.
	began := time.Now()
	before, err := r.allRowsAt(ctx, provider)
	if err != nil {
		return report, err
	}
	all, err := r.listAll(ctx, p)
	if err != nil {
		return report, err
	}
	remote := all.byID()
	after, err := r.allRowsAt(ctx, provider)
	if err != nil {
		return report, err
	}
	report.Remote, report.Rows = len(remote), len(after)

	named := make(map[string]bool)
	inWork := make(map[providers.ParsedRemoteName]bool)
	sizes := make(map[string]int64) // of blobs, by the digits of their digest
	for _, c := range after {
		if purpose, err := description.Purpose(c.Purpose, ""); err == nil && !purpose.Rewritten {
			sizes[providers.RemoteNameDigest(c.Digest)] = c.Size
		}
		switch {
		case c.Account != description.Account:
			if _, here := remote[c.FileID]; here {
				report.Misplaced = append(report.Misplaced, c)
				named[c.FileID] = true
			} else {
				report.Elsewhere = append(report.Elsewhere, c)
			}
		case c.State == ledger.StateUploading, len(c.Strays) > 0, c.State == ledger.StateDeleting:
			inWork[providers.ParsedRemoteName{Mark: mark, DigestHex: providers.RemoteNameDigest(c.Digest), Extension: c.Extension}] = true
			fallthrough
		default:
			named[c.FileID] = true
		}
	}
	for _, c := range before {
		purpose, err := description.Purpose(c.Purpose, "")
		if _, here := remote[c.FileID]; here || c.Account != description.Account || err != nil || purpose.Unlisted || c.FileID == "" || c.IsFresh(began, purpose.Settling()) {
			continue
		}
		switch c.State {
		case ledger.StateReady:
			gone, err := isUnknown(ctx, p, c.FileID)
			if err != nil {
				report.Failures = append(report.Failures, err)
			} else if gone {
				report.Gone = append(report.Gone, c)
			}
		case ledger.StateDeleting:
			report.Deletes = append(report.Deletes, c)
		}
	}
	for _, f := range remote {
		// Not about.ParseRemoteName: a name with " (1)" is one that somebody has used again.
		name, marked := providers.ParseRemoteName(f.Name)
		switch {
		case named[f.ID]:
		case !marked:
			report.Foreign++
		case name.Mark == mark && hasOtherSize(f, name.DigestHex, sizes): // somebody has changed a file of ours
			report.Foreign++
		case name.Mark != mark:
			report.Others.add(f)
		case inWork[providers.ParsedRemoteName{Mark: mark, DigestHex: name.DigestHex, Extension: name.Extension}]:
			// A running or later attempt adopts or deletes it.
		default:
			report.Unknown = append(report.Unknown, f)
		}
	}
	census := count(description, remote, mark, named, began)
	census.countVanished(after, description)
	r.censuses.set(description.Account, census)
	if o.Apply {
		r.apply(ctx, p, &report)
	}
	return report, ctx.Err()
}

// hasOtherSize reports whether a file certainly has not the bytes of the blob that its name
// is of.
func hasOtherSize(f providers.RemoteFile, digestHex string, sizes map[string]int64) bool {
	size, known := sizes[digestHex]
	return known && f.Size != 0 && f.Size != size
}

// isUnknown reports whether a provider doesn't know a file that its list lacks. A list may
// be late, or shortened; so the provider is asked for the file itself where it can be.
func isUnknown(ctx context.Context, p providers.Provider, id string) (bool, error) {
	retriever, ok := providers.Ability[providers.Retriever](p)
	if !ok {
		return true, nil
	}
	_, err := retriever.Retrieve(ctx, id)
	if providers.KindOf(err) == providers.KindLost {
		return true, nil
	}
	return false, err
}

// apply deletes the unknown files, marks the missing ones as lost, and finishes deletes.
func (r *Replicator) apply(ctx context.Context, p providers.Provider, report *Reconciliation) {
	fail := func(err error) {
		if err != nil {
			report.Failures = append(report.Failures, err)
		}
	}
	for _, f := range report.Unknown {
		_, err := r.deleteFile(ctx, p, ledger.Copy{Key: ledger.Key{Provider: report.Provider, Purpose: f.Purpose}}, f.ID, true) // it was listed
		fail(err)
	}
	for _, c := range report.Gone {
		if err := r.lose(ctx, c); !errors.Is(err, ledger.ErrNotFound) {
			fail(err)
		}
	}
	for _, c := range report.Deletes {
		claimed, won, err := r.ledger.Change(ctx, ledger.ResumeDelete(c, r.o.Lease))
		switch {
		case errors.Is(err, ledger.ErrNotFound): // it is deleted by now
		case err != nil:
			fail(err)
		case won:
			_, failure, err := r.endDelete(ctx, p, claimed, "")
			fail(errors.Join(failure, err))
		}
	}
}

// allRowsAt returns all rows of a provider, of all accounts.
func (r *Replicator) allRowsAt(ctx context.Context, provider string) ([]ledger.Copy, error) {
	var rows []ledger.Copy
	for c, err := range r.rowsAt(ctx, provider) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, c)
	}
	return rows, nil
}
