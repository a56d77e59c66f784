// Package providers keeps copies of blobs at LLM providers.
//
// A Provider is one account at one provider's file store: an adapter implements
// it. A Ledger, which an index driver implements, has a row for each copy. The
// Replicator brings the two together: it makes a copy when one is first asked
// for, exactly once, however many callers and gateways ask, and keeps the ledger
// true when uploads fail, replies get lost, files vanish and processes die.
package providers

import (
	"context"
	"io"
	"iter"
	"time"
)

// Provider is one account at a provider's file store. Adapters implement it;
// providertest is their conformance kit. What a provider can do beyond this it
// says by implementing Retriever, Poller, TextExtractor or Downloader; Ability
// finds out.
//
// Every error is, or wraps, an *Error, which tells what became of the call. An
// adapter does not retry, limit, log or measure: decorators do (package guard).
// Implementations are safe for concurrent use, and a done context ends each call
// soon.
type Provider interface {
	// Describe returns what is known of the account without asking: it neither
	// blocks nor changes.
	Describe() Description

	// Upload makes a new remote file, and returns once the provider has confirmed it.
	// It opens the content once, streams it, and closes it. It is not idempotent:
	// after an error of KindUnknown the file may be there nevertheless.
	Upload(ctx context.Context, u Upload) (RemoteFile, error)

	// Delete removes a remote file. One that the provider doesn't know is an error of
	// KindLost. It may be repeated.
	Delete(ctx context.Context, id string) error

	// List yields the remote files of a purpose, in no particular order; an empty
	// purpose means all that can be listed. It asks for pages as they are needed. An
	// error comes last, with a zero file.
	List(ctx context.Context, purpose string) iter.Seq2[RemoteFile, error]

	// References returns the ways to use a blob of this media type, stored under a
	// name with this extension, in a request to the provider; the usual one first.
	References(mediaType, extension string) []ReferenceKind

	// Reference builds what goes into such a request, as JSON ready to be pasted. The
	// material has what the kind says it needs.
	Reference(kind ReferenceKind, m Material) ([]byte, error)
}

// Upload is a blob to be stored at a provider.
type Upload struct {
	Purpose string
	// Name is the remote file's name; its extension is what many providers choose
	// their parser by.
	Name      string
	MediaType string
	Size      int64 // bytes
	// Open starts a read of exactly Size bytes. A source that turns out to be wrong
	// fails the read before its last byte.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// RemoteFile is a file as a provider describes it.
type RemoteFile struct {
	ID        string // opaque, at most 255 bytes
	Name      string
	Size      int64 // bytes
	Purpose   string
	CreatedAt time.Time // zero where the provider doesn't say
	ExpiresAt time.Time // zero: kept until deleted
	Status    Status
	// Detail is the provider's word on a failed or unfinished file.
	Detail string
}

// Status is how far a provider is with a file.
type Status string

// What a provider's many words for it come down to.
const (
	StatusReady      Status = "ready"
	StatusProcessing Status = "processing"
	StatusFailed     Status = "failed"
)

// Retriever is the ability to look up one remote file.
type Retriever interface {
	// Retrieve returns the file; KindLost where the provider doesn't know it.
	Retrieve(ctx context.Context, id string) (RemoteFile, error)
}

// Poller is the ability to tell how far a file is that the provider still works
// on after Upload. Only providers that work on files after they took them have
// it.
type Poller interface {
	// Poll returns the file with its present status.
	Poll(ctx context.Context, id string) (RemoteFile, error)
}

// TextExtractor is the ability to give the text a provider has extracted from a
// document.
type TextExtractor interface {
	// TextPurpose returns the purpose a document must be uploaded under for its text.
	TextPurpose() string
	// Text streams the extracted text, UTF-8. KindLost where the provider doesn't know
	// the file. The caller closes it.
	Text(ctx context.Context, id string) (io.ReadCloser, error)
}

// Downloader is the ability to give back a file's bytes. They need not be those
// uploaded: some providers rewrite them.
type Downloader interface {
	// Download streams the file. The caller closes it.
	Download(ctx context.Context, id string) (io.ReadCloser, error)
}

// Unwrapper is a decorator of a Provider. It implements every ability, by asking
// the provider it wraps.
type Unwrapper interface {
	Unwrap() Provider
}

// Ability returns p as a T where the adapter beneath all decorators is one: the
// call then still goes through the decorators.
func Ability[T any](p Provider) (T, bool) {
	adapter := p
	for {
		d, ok := adapter.(Unwrapper)
		if !ok {
			break
		}
		adapter = d.Unwrap()
	}
	var none T
	if _, able := adapter.(T); !able {
		return none, false
	}
	t, ok := p.(T)
	return t, ok
}
