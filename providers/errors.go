package providers

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what an error means for the next step.
type Kind string

// The kinds of errors.
const (
	// KindPermanent: the same call will fail again: the file is of the wrong type,
	// too large, refused for its content, or the request is wrong.
	KindPermanent Kind = "permanent"
	// KindTransient: nothing was done, and the same call may succeed later.
	KindTransient Kind = "transient"
	// KindUnknown: nobody knows whether the call was done: its reply got lost, or
	// made no sense. An upload must not be repeated before the remote files were
	// looked through.
	KindUnknown Kind = "unknown"
	// KindLost: the provider does not know the file.
	KindLost Kind = "lost"
	// KindQuota: the account is full, or its budget is used up.
	KindQuota Kind = "quota"
	// KindAuth: the credential is wrong, or may not do this.
	KindAuth Kind = "auth"
)

// Op names a call to a provider.
type Op string

// The calls to a provider, and OpCheck for what is found out without one.
const (
	OpCheck    Op = "check"
	OpUpload   Op = "upload"
	OpDelete   Op = "delete"
	OpList     Op = "list"
	OpRetrieve Op = "retrieve"
	OpPoll     Op = "poll"
	OpText     Op = "text"
	OpDownload Op = "download"
)

// Error is what a call to a provider failed with. It goes to logs, to clients and
// into the ledger, so nothing in it is secret: adapters redact what they take
// from an answer.
type Error struct {
	Provider string `json:"provider"`
	Op       Op     `json:"op"`
	Kind     Kind   `json:"kind"`
	// Status is the answer's HTTP status; 0 where there was no answer.
	Status int `json:"status,omitempty"`
	// Code is the provider's own name for the error, or one of ours for what was
	// found without asking: unknown_purpose, unsupported_extension, empty_file,
	// file_too_large, unavailable, not_configured, timeout, connection.
	Code string `json:"code,omitempty"`
	// Message is the provider's own, shortened.
	Message string `json:"message,omitempty"`
	// RetryAfter is how long the provider asks to wait; 0 where it doesn't say.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// TooMany: the provider limits the rate of calls (KindTransient), or the number
	// of files or bytes kept, so that room can be made (KindQuota).
	TooMany bool `json:"too_many,omitempty"`
	// Hint is the next step for whoever asked.
	Hint string `json:"hint,omitempty"`
	// Cause is what lies beneath, for errors.Is; it is not stored.
	Cause error `json:"-"`
}

// Codes of errors that are found without the provider's word.
const (
	CodeUnavailable   = "unavailable"    // the breaker is open: the provider failed too often
	CodeNotConfigured = "not_configured" // there is no key for the provider
	CodeTimeout       = "timeout"        // no answer in time
	CodeConnection    = "connection"     // the connection failed
	CodeBadAnswer     = "bad_answer"     // an answer that makes no sense

	// The gateway's own bytes could not be read.
	CodeObjectCorrupt    = "object_corrupt"
	CodeObjectMissing    = "object_missing"
	CodeBlobNotFound     = "blob_not_found"
	CodeStoreUnavailable = "store_unavailable"
)

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s failed", e.Provider, e.Op)
	if e.Op == OpCheck {
		b.Reset()
		b.WriteString(e.Provider)
	}
	switch {
	case e.Status > 0 && e.Code != "":
		fmt.Fprintf(&b, " (%d %s)", e.Status, e.Code)
	case e.Status > 0:
		fmt.Fprintf(&b, " (%d)", e.Status)
	case e.Code != "":
		fmt.Fprintf(&b, " (%s)", e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns an error's kind. One that is no *Error is of KindUnknown, since
// nobody knows what it means; nil has none.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindUnknown
}

// The errors callers act upon that are about copies, not about a call.
var (
	// ErrProviderNotFound: no provider has this name.
	ErrProviderNotFound = errors.New("provider not found")
	// ErrCopyNotFound: the ledger has no such copy.
	ErrCopyNotFound = errors.New("copy not found")
	// ErrCopyInProgress: somebody else is at work on the copy.
	ErrCopyInProgress = errors.New("copy in progress")
	// ErrNoReference: the provider has no such way to use a file of this kind.
	ErrNoReference = errors.New("no such reference")
	// ErrNoDownload: the provider gives no files back.
	ErrNoDownload = errors.New("the provider gives no files back")
)
