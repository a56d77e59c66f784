// Package providers holds the contract between casgate and the file stores of LLM
// providers.
//
// A Provider is one account at one provider's file store. An adapter, such as
// providers/kimi, implements it; providers/guard decorates it. Package ledger keeps a
// row for each copy of a blob at a provider, and package replicator makes, renews and
// removes the copies.
package providers

import (
	"context"
	"io"
	"iter"
	"time"
)

// Provider is one account at a provider's file API. Adapters implement it;
// providertest is their conformance kit. The optional abilities are Retriever,
// Poller, TextExtractor, Downloader and Chatter; the function Ability returns them.
//
// Every error is, or wraps, an *Error, which classifies the outcome of the call. An
// adapter does not retry, limit, log or measure: decorators do (package guard).
// Implementations are safe for concurrent use. Each call ends soon after its context
// is done.
type Provider interface {
	// Describe returns the known data of the account. It makes no call, and its result
	// never changes.
	Describe() Description

	// Upload creates a remote file, and returns after the provider has confirmed it. It
	// opens the content once, streams it, and closes it. It is not idempotent: after an
	// error of KindUnknown the file may exist.
	Upload(ctx context.Context, u Upload) (RemoteFile, error)

	// Delete deletes a remote file. If the provider doesn't know the file, the error is of
	// KindLost. If the provider answers that it deleted nothing, the error is also of
	// KindLost, with CodeNotDeleted: the file may be there. Safe to repeat.
	Delete(ctx context.Context, id string) error

	// List yields the remote files of a purpose, in no particular order. An empty purpose
	// means all listed purposes. It requests pages as they are needed. An error comes
	// last, with a zero RemoteFile.
	List(ctx context.Context, purpose string) iter.Seq2[RemoteFile, error]

	// References returns the kinds of references to a blob with this media type and a name
	// with this extension; the usual one comes first.
	References(mediaType, extension string) []ReferenceKind

	// Reference builds the JSON for a request to the provider. The material has what the
	// kind needs.
	Reference(kind ReferenceKind, m Material) ([]byte, error)
}

// Upload is a blob for an upload to a provider.
type Upload struct {
	Purpose string
	// Name is the remote file's name. Many providers select their parser by its
	// extension.
	Name      string
	MediaType string
	Size      int64 // bytes
	// Open starts a read of exactly Size bytes. If the content is wrong, the read fails
	// before its last byte.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// RemoteFile is a file as a provider describes it.
type RemoteFile struct {
	ID        string // opaque, at most 255 bytes
	Name      string
	Size      int64 // bytes
	Purpose   string
	CreatedAt time.Time // zero if the provider doesn't say
	ExpiresAt time.Time // zero: kept until deleted
	Status    Status
	// Detail is the provider's message about a failed or unfinished file.
	Detail string
	// Code is the gateway's code for the failure that Detail tells, such as CodeNoText. It
	// is empty if the cause is not known.
	Code string
}

// Status is the state of a file at a provider.
type Status string

// The statuses of all providers are mapped to these.
const (
	StatusReady      Status = "ready"
	StatusProcessing Status = "processing"
	StatusFailed     Status = "failed"
)

// Retriever is the ability to return one remote file by its id.
type Retriever interface {
	// Retrieve returns the file, or KindLost if the provider doesn't know it.
	Retrieve(ctx context.Context, id string) (RemoteFile, error)
}

// Poller is the ability to return the status of a file that the provider processes after
// the upload. Only providers that process files have it.
type Poller interface {
	// Poll returns the file with its current status.
	Poll(ctx context.Context, id string) (RemoteFile, error)
}

// TextExtractor is the ability to return the text that a provider extracted from a
// document.
type TextExtractor interface {
	// TextPurpose returns the purpose that a document needs for its text.
	TextPurpose() string
	// Text streams the extracted text in UTF-8. The error is of KindLost if the provider
	// doesn't know the file. A text without a visible character ends with an error of
	// CodeNoText. The caller closes the stream.
	Text(ctx context.Context, id string) (io.ReadCloser, error)
}

// Downloader is the ability to return a file's bytes. They may differ from the uploaded
// ones: some providers rewrite files.
type Downloader interface {
	// Download streams the file. The caller closes the stream.
	Download(ctx context.Context, id string) (io.ReadCloser, error)
}

// Unwrapper is a decorator of a Provider. It implements every ability by calling the
// wrapped provider.
type Unwrapper interface {
	Unwrap() Provider
}

// Ability returns p as a T if the adapter inside all decorators is a T. Calls to the
// result still pass the decorators.
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
