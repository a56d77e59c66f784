package api

import (
	"time"

	"casgate/cas"
	"casgate/gateway/problem"
)

// Record is what the journal has kept of an operation. What doesn't apply to it is
// absent.
type Record struct {
	ID string `json:"id"`
	// Kind is upload, download, delete, sync, unsync (the delete of a copy), evict,
	// reconcile, import, backfill, scrub, expire, token-created, token-revoked,
	// signing-key-created or signing-key-retired.
	Kind string `json:"kind"`
	// Actor is who asked: token:<id>, url (who has a signed URL), public, none (where
	// authentication is off), cli (a command that works on the index itself), or
	// gateway, for what it does by itself.
	Actor    string      `json:"actor"`
	Digest   *cas.Digest `json:"digest,omitempty"`
	FileID   string      `json:"file_id,omitempty"`
	Provider string      `json:"provider,omitempty"`
	// StartedAt goes by the clock of the machine that did it.
	StartedAt  time.Time `json:"started_at"`
	DurationMS float64   `json:"duration_ms"`
	// Bytes came in, went out, or are the copy's that was made.
	Bytes int64 `json:"bytes"`
	// Outcome is ok, failed, or broken-off where the client left, or was cut off.
	Outcome   string       `json:"outcome"`
	ErrorCode problem.Code `json:"error_code,omitempty"`
}

// RecordPage is one page of the journal.
type RecordPage struct {
	Operations []Record `json:"operations"` // newest first
	// Next is the cursor to pass as after= for the next page, of older ones; empty at
	// the end.
	Next string `json:"next,omitempty"`
	// Newest is to be passed as following= for what is recorded from now on.
	Newest string `json:"newest"`
	// Lost counts the operations that this gateway could not record since it started.
	Lost uint64 `json:"lost"`
}
