package replicator

import (
	"context"
	"errors"
	"fmt"
	"io"

	"casgate/providers"
	"casgate/providers/ledger"
)

// Download streams a copy's file from its provider. The bytes may differ from the
// uploaded ones, since some providers rewrite files. Download never uploads. If the
// provider no longer knows the file, the copy becomes lost and the error is of KindLost.
// The caller closes the stream; its Read fails with an *Error.
//
// Errors: ErrNoDownload, ErrCopyInProgress and ledger.ErrNotFound if the copy has no
// file, an *Error, those of the index.
func (r *Replicator) Download(ctx context.Context, c ledger.Copy) (io.ReadCloser, error) {
	p, err := r.account(c.Provider)
	if err != nil {
		return nil, err
	}
	downloader, ok := providers.Ability[providers.Downloader](p)
	if !ok {
		return nil, fmt.Errorf("%w: %s", providers.ErrNoDownload, c.Provider)
	}
	switch c.State {
	case ledger.StateReady, ledger.StateUnverified:
	case ledger.StatePending, ledger.StateUploading, ledger.StateProcessing, ledger.StateDeleting:
		return nil, fmt.Errorf("%w: %s is %s", providers.ErrCopyInProgress, c.Key, c.State)
	default:
		return nil, fmt.Errorf("%w: %s is %s; PUT makes it anew", ledger.ErrNotFound, c.Key, c.State)
	}
	if err := unavailable(p); err != nil {
		return nil, err
	}
	var body io.ReadCloser
	err = untilSettled(ctx, c, p.Describe().SettlingOf(c.Purpose), func() error {
		body, err = downloader.Download(ctx, c.FileID)
		return err
	})
	if err == nil {
		r.use(c)
		return body, nil
	}
	if providers.KindOf(err) == providers.KindLost && c.State == ledger.StateReady {
		if _, lookErr := lookUp(ctx, p, c.Purpose, c.FileID); providers.KindOf(lookErr) != providers.KindLost {
			return nil, err // the file is there, and its content is not
		}
		if loseErr := r.lose(ctx, c); loseErr != nil && !errors.Is(loseErr, ledger.ErrNotFound) {
			return nil, loseErr
		}
	}
	return nil, err
}

// ReturnsBytes reports whether Download can return the bytes that were uploaded: the copy
// is ready at the configured account, and the provider neither rewrites nor withholds
// files of this purpose.
func (r *Replicator) ReturnsBytes(c ledger.Copy) bool {
	p, err := r.account(c.Provider)
	if err != nil || p.Describe().Account != c.Account || c.State != ledger.StateReady && c.State != ledger.StateUnverified {
		return false
	}
	if _, ok := providers.Ability[providers.Downloader](p); !ok {
		return false
	}
	purpose, err := p.Describe().Purpose(c.Purpose, "")
	return err == nil && !purpose.Rewritten && !purpose.Withheld
}
