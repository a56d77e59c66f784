package api

import (
	"time"

	"casgate/cas"
	"casgate/gateway/problem"
)

// Record is the record of an operation in the journal, or of several that are alike. Fields
// that don't apply are absent.
type Record struct {
	// ID is the operation's id; of several operations, that of the first.
	ID string `json:"id"`
	// Kind is upload, download, delete, sync, unsync (the delete of a copy), evict,
	// reconcile, import, backfill, scrub (the check of an object that was not simply
	// right), expire, collect (the removal of a deleted blob's bytes), reindex,
	// token-created, token-revoked, signing-key-created or signing-key-retired.
	Kind string `json:"kind"`
	// Actor requested the operation: token:<id>, url (a signed URL), public, none
	// (authentication is off), cli (a command that works on the index itself), or gateway
	// (the gateway itself).
	Actor    string      `json:"actor"`
	Digest   *cas.Digest `json:"digest,omitempty"`
	FileID   string      `json:"file_id,omitempty"`
	Provider string      `json:"provider,omitempty"`
	// StartedAt is by the clock of the machine that ran the operation.
	// Of several operations it is when the first one began, and DurationMS and Bytes are
	// sums.
	StartedAt  time.Time `json:"started_at"`
	DurationMS float64   `json:"duration_ms"`
	// Bytes counts what was received or sent, or is the size of the new copy.
	Bytes int64 `json:"bytes"`
	// Count is the number of operations if the record is of several: operations of the same
	// kind and actor on the same blob, which changed nothing, in one minute.
	Count int64 `json:"count,omitempty"`
	// LastStartedAt is when the last of several operations began.
	LastStartedAt *time.Time `json:"last_started_at,omitempty"`
	// Outcome is ok, failed, or broken-off: the client left or was cut off.
	Outcome   string       `json:"outcome"`
	ErrorCode problem.Code `json:"error_code,omitempty"`
}

// RecordPage is one page of the journal.
type RecordPage struct {
	Operations []Record `json:"operations"` // newest first
	// Next is the after= of the next page, which has older records; empty at the end.
	Next string `json:"next,omitempty"`
	// Newest is the following= that selects the records added after this answer.
	Newest string `json:"newest"`
	// Lost counts the operations that this gateway could not record since it started.
	Lost uint64 `json:"lost"`
	// Off: this gateway records no operations.
	Off bool `json:"off,omitempty"`
}
