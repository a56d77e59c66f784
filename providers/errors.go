package providers

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind classifies an error by what the caller can do next.
type Kind string

// The kinds of errors.
const (
	// KindPermanent: the same call will fail again. The file has the wrong type, is too
	// large or is refused for its content, or the request is wrong.
	KindPermanent Kind = "permanent"
	// KindTransient: nothing was done, and the same call may succeed later.
	KindTransient Kind = "transient"
	// KindUnknown: the call may have succeeded. Its reply got lost or made no sense.
	// Before repeating an upload, the caller must search the list of remote files.
	KindUnknown Kind = "unknown"
	// KindLost: the provider does not know the file.
	KindLost Kind = "lost"
	// KindQuota: the account is full, or its budget is used up.
	KindQuota Kind = "quota"
	// KindAuth: the credential is wrong or lacks the permission.
	KindAuth Kind = "auth"
)

// Op names a call to a provider.
type Op string

// The calls to a provider. OpCheck stands for a check without a call.
const (
	OpCheck    Op = "check"
	OpUpload   Op = "upload"
	OpDelete   Op = "delete"
	OpList     Op = "list"
	OpRetrieve Op = "retrieve"
	OpPoll     Op = "poll"
	OpText     Op = "text"
	OpDownload Op = "download"
	OpChat     Op = "chat"
)

// Error is a failed call to a provider. It goes to logs, to clients and into the
// ledger, so it contains no secrets: adapters redact the texts of an answer.
type Error struct {
	Provider string `json:"provider"`
	Op       Op     `json:"op"`
	Kind     Kind   `json:"kind"`
	// Status is the answer's HTTP status; 0 without an answer.
	Status int `json:"status,omitempty"`
	// Code is the provider's code. For an error without an answer it is one of the
	// gateway's, such as unsupported_extension, empty_file, file_too_large,
	// unavailable, not_configured, timeout, connection, wrong_size, account_full.
	Code string `json:"code,omitempty"`
	// Message is the provider's message, shortened.
	Message string `json:"message,omitempty"`
	// RetryAfter is the wait that the provider asks for, or 0.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// TooMany: with KindTransient, the rate limit is reached. With KindQuota, the limit of
	// stored files or bytes is reached, and deleting files helps.
	TooMany bool `json:"too_many,omitempty"`
	// NotBegun: the provider's own code says that it has not begun the call. So it stored
	// nothing, although the status is 5xx. It is not stored.
	NotBegun bool `json:"-"`
	// MaxFiles is the limit of stored files that the provider's message names, or 0. It is
	// not stored.
	MaxFiles int64 `json:"-"`
	// Hint is the next step for the user.
	Hint string `json:"hint,omitempty"`
	// Cause is the wrapped error, for errors.Is. It is not stored.
	Cause error `json:"-"`
}

// Codes of errors that the provider didn't report.
const (
	CodeUnavailable   = "unavailable"    // the circuit breaker is open: the provider failed too often
	CodeLimited       = "limited"        // the call was not made: the account's limits left no room for it
	CodeNotConfigured = "not_configured" // the provider has no key
	// CodeUnknownPurpose: the caller named a purpose that the provider doesn't have.
	CodeUnknownPurpose = "unknown_purpose"
	CodeTimeout        = "timeout"      // no answer in time
	CodeConnection     = "connection"   // the connection failed
	CodeBadAnswer      = "bad_answer"   // an answer that makes no sense
	CodeNoText         = "no_text"      // the provider finds no text in the document
	CodeNotDeleted     = "not_deleted"  // the provider answered a delete, and says that it deleted nothing
	CodeUnconfirmed    = "unconfirmed"  // a delete waits until no remote file can turn up any more
	CodeAccountFull    = "account_full" // the limit of stored files or bytes is reached
	CodeWrongSize      = "wrong_size"   // the provider stored another number of bytes than were sent

	// The gateway's own faults; see GatewayFault.
	CodeObjectCorrupt    = "object_corrupt"
	CodeObjectMissing    = "object_missing"
	CodeBlobNotFound     = "blob_not_found"
	CodeStoreUnavailable = "store_unavailable"
	CodeIndexUnavailable = "index_unavailable"
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

// KindOf returns an error's kind. It is KindUnknown for an error that wraps no *Error,
// and empty for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindUnknown
}

// Errors about copies.
var (
	// ErrProviderNotFound: no provider has this name.
	ErrProviderNotFound = errors.New("provider not found")
	// ErrCopyInProgress: the copy is being made or deleted.
	ErrCopyInProgress = errors.New("copy in progress")
	// ErrCopyDeleted: the copy was deleted while it was being made.
	ErrCopyDeleted = errors.New("the copy was deleted while it was being made")
	// ErrNoReference: the provider has no such kind of reference for this file.
	ErrNoReference = errors.New("no such reference")
	// ErrReferenceUnreachable: the reference is a URL that the provider certainly can't
	// reach.
	ErrReferenceUnreachable = errors.New("the provider can't reach the URL")
	// ErrNoDownload: the provider doesn't return the bytes of files.
	ErrNoDownload = errors.New("the provider gives no files back")
)
