package replicator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// Text returns the blob with the text that a provider extracted from the request's blob.
// The text is extracted once and stored as a blob of its own, which no longer needs the
// provider or the copy. The copy for the extraction is an operation of its own: its id
// is the request's, with a dot and the provider's name. OnEvent gets its end.
//
// Errors: ErrNoReference if the provider extracts no text, and those of Ensure.
func (r *Replicator) Text(ctx context.Context, q Request) (cas.Blob, error) {
	p, err := r.account(q.Provider)
	if err != nil {
		return cas.Blob{}, err
	}
	extractor, ok := providers.Ability[providers.TextExtractor](p)
	if !ok {
		return cas.Blob{}, fmt.Errorf("%w: %s extracts no text", providers.ErrNoReference, q.Provider)
	}
	q.Purpose = extractor.TextPurpose()
	if q.OperationID != "" {
		q.OperationID += "." + q.Provider // the copy is an operation of its own
	}
	j, err := r.plan(ctx, q)
	if err != nil {
		return cas.Blob{}, err
	}
	key := ledger.TextKey{Digest: q.Digest, Provider: textOwner(j.description), Extension: j.wanted.Extension}
	known, err := r.knownText(ctx, key)
	isDamaged := err == nil && known.State == cas.StateSuspect
	if !isDamaged && !errors.Is(err, ledger.ErrNotFound) {
		return known, err
	}
	flight := fmt.Sprintf("text %x %s %q %t", key.Digest[:], key.Provider, key.Extension, q.Retry)
	done := r.flights.DoChan(flight, func() (any, error) {
		end, err := r.begin()
		if err != nil {
			return nil, err
		}
		defer end()
		return r.extract(r.working, q, j, extractor, key)
	})
	select {
	case res := <-done:
		blob, _ := res.Val.(cas.Blob)
		if res.Err != nil && isDamaged { // a read tells whether it really is
			r.log.Warn().Err(res.Err).Str("digest", known.Digest.String()).Msg("could not extract a damaged text again")
			return known, nil
		}
		return blob, res.Err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return cas.Blob{}, fmt.Errorf("%w: the text of %s is still being extracted", providers.ErrCopyInProgress, q.Digest.Short())
		}
		return cas.Blob{}, context.Cause(ctx)
	}
}

// textOwner returns the provider in the key of a text. All accounts of a provider extract
// the same text. A simulator's text has the account as its key, so that it is never
// served as a provider's.
func textOwner(d providers.Description) string {
	if d.Simulated {
		return d.Account
	}
	return d.Provider
}

// knownText returns the blob of a text that was extracted before. It returns
// ledger.ErrNotFound if there is none, or if it was deleted or is empty.
func (r *Replicator) knownText(ctx context.Context, k ledger.TextKey) (cas.Blob, error) {
	d, err := r.ledger.ExtractedText(ctx, k)
	if err != nil {
		return cas.Blob{}, err
	}
	blob, err := r.blobs.Blob(ctx, d)
	if errors.Is(err, cas.ErrBlobNotFound) {
		return cas.Blob{}, fmt.Errorf("%w: the text that was extracted from %s was deleted", ledger.ErrNotFound, k.Digest.Short())
	}
	if err == nil && blob.Size == 0 { // stored by an earlier version, which took it for a text
		return cas.Blob{}, fmt.Errorf("%w: an empty text was extracted from %s", ledger.ErrNotFound, k.Digest.Short())
	}
	return blob, err
}

// extract asks the provider for the text, and stores it. If the provider has lost the
// file, it uploads the file once more.
func (r *Replicator) extract(ctx context.Context, q Request, j job, extractor providers.TextExtractor, key ledger.TextKey) (cas.Blob, error) {
	r.requesters.add(ctx, q, false)
	defer r.requesters.remove(q.OperationID)
	q.Actor = "" // the caller waits for the text, and not for the copy
	var c ledger.Copy
	var body io.ReadCloser
	for again := false; ; again = true {
		var err error
		if c, _, err = r.Ensure(ctx, q); err != nil {
			return cas.Blob{}, err
		}
		if body, err = textOf(ctx, j, c, extractor); err == nil {
			break
		}
		if providers.KindOf(err) != providers.KindLost {
			return cas.Blob{}, err
		}
		if loseErr := r.lose(ctx, c); loseErr != nil {
			return cas.Blob{}, loseErr
		}
		if again {
			return cas.Blob{}, err
		}
	}
	defer body.Close()
	failing := &readError{src: body}
	text, _, err := r.blobs.Put(ctx, cas.Upload{
		Body: failing, Size: -1, MediaType: "text/plain; charset=utf-8",
		Name: textName(c), NameIfNew: true, // the text may be the blob itself
	})
	if failing.err != nil {
		return cas.Blob{}, failing.err // of the provider, and not of the store
	}
	if err != nil {
		return cas.Blob{}, err
	}
	return text, r.ledger.SetExtractedText(ctx, key, text.Digest)
}

// textOf returns the text of a copy's file. If the provider has none, textOf looks the
// file up: while the file is fresh or in process, it has no text yet, and textOf asks
// again. A file that is ready may get its text later, for as long as the provider has to
// process a file; textOf returns ErrCopyInProgress then. The error is of KindLost only if
// the provider doesn't know the file.
func textOf(ctx context.Context, j job, c ledger.Copy, extractor providers.TextExtractor) (io.ReadCloser, error) {
	began, ready := time.Now(), false
	for delay := firstLook; ; delay = min(2*delay, lastLook) {
		body, err := extractor.Text(ctx, c.FileID)
		if providers.KindOf(err) != providers.KindLost {
			return body, err
		}
		f, lookErr := lookUp(ctx, j.provider, c.Purpose, c.FileID)
		fresh := c.IsFresh(time.Now(), j.purpose.Settling())
		switch {
		case lookErr != nil && providers.KindOf(lookErr) != providers.KindLost:
			return nil, lookErr
		case fresh, lookErr == nil && f.Status == providers.StatusProcessing && time.Since(began) < processingLimit:
		case lookErr != nil:
			return nil, err
		case ready && f.Status == providers.StatusReady && c.IsFresh(time.Now(), processingLimit):
			return nil, fmt.Errorf("%w: %s has the file, and no text of it yet; ask again", providers.ErrCopyInProgress, c.Provider)
		case ready, f.Status != providers.StatusReady:
			return nil, &providers.Error{
				Provider: c.Provider, Op: providers.OpText, Kind: providers.KindPermanent, Code: providers.CodeNoText,
				Message: "the provider has the file, and no text of it", Hint: "check that the document contains text",
			}
		default:
			ready = true // it may have become so after the provider was asked for the text
		}
		if err := pause(ctx, delay); err != nil {
			return nil, err
		}
	}
}

// textName returns the name of an extracted text. It has no extension of the document,
// but keeps the end of a name such as "Report v1.2". The text of a document without a name has none.
func textName(c ledger.Copy) string {
	name := c.Name
	if name == "" {
		return ""
	}
	if own := path.Ext(name); own != "" && providers.Extension(name, "") != "" {
		name = strings.TrimSuffix(name, own)
	}
	return name + ".txt"
}

// readError keeps the error of reading src.
type readError struct {
	src io.Reader
	err error
}

func (r *readError) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
