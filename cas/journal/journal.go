// Package journal keeps a record of every operation: its kind, its actor, its blob or
// file, its duration and its outcome.
//
// A Writer accepts records without blocking requests, and stores them in batches. It
// counts repeated operations that change nothing, such as reads of a hot blob, in one
// record a minute. If records come faster than it can store them, it drops those that
// it can't gather, and counts them.
package journal

import (
	"context"
	"errors"
	"time"

	"casgate/cas"
)

// Kind is the kind of an operation.
type Kind string

// The kinds of operations.
const (
	KindUpload     Kind = "upload"   // a blob was stored, or existed already
	KindDownload   Kind = "download" // a blob's bytes were read
	KindDelete     Kind = "delete"   // a blob or a file was deleted
	KindSync       Kind = "sync"     // a copy was ensured
	KindUnsync     Kind = "unsync"   // a copy was deleted at its provider
	KindEvict      Kind = "evict"    // a copy was removed at its provider to make room
	KindReconcile  Kind = "reconcile"
	KindImport     Kind = "import"
	KindBackfill   Kind = "backfill" // an imported file's bytes were taken in
	KindScrub      Kind = "scrub"    // an object was checked, and not simply right
	KindExpire     Kind = "expire"   // a file expired
	KindChat       Kind = "chat"     // a request was sent to a model
	KindCollect    Kind = "collect"  // the bytes of a deleted blob were removed
	KindReindex    Kind = "reindex"  // rows were made again from the object store
	KindTokenMade  Kind = "token-created"
	KindTokenEnded Kind = "token-revoked"
	KindKeyMade    Kind = "signing-key-created"
	KindKeyEnded   Kind = "signing-key-retired"
)

// Kinds are all kinds.
var Kinds = []Kind{
	KindUpload, KindDownload, KindDelete, KindSync, KindUnsync, KindEvict, KindReconcile, KindImport, KindBackfill,
	KindScrub, KindExpire, KindChat, KindCollect, KindReindex, KindTokenMade, KindTokenEnded, KindKeyMade, KindKeyEnded,
}

// The actors. A token's id follows ActorToken.
const (
	ActorToken = "token:"
	ActorURL   = "url" // a holder of a signed URL
	// ActorUploadURL is before the id of the token that made the upload URL; it is empty
	// where there is no authentication.
	ActorUploadURL = "url:"

	ActorPublic  = "public"  // a reader without a token, where reading is public
	ActorNone    = "none"    // any client of a gateway without authentication
	ActorCLI     = "cli"     // a command that uses the index directly
	ActorGateway = "gateway" // the gateway's own work
)

// Outcome is how an operation ended.
type Outcome string

// The outcomes of operations.
const (
	OutcomeOK     Outcome = "ok"
	OutcomeFailed Outcome = "failed"
	// OutcomeBroken: the client left, or was cut off, before the end.
	OutcomeBroken Outcome = "broken-off"
)

// Outcomes are all outcomes.
var Outcomes = []Outcome{OutcomeOK, OutcomeFailed, OutcomeBroken}

// Record is one operation, or several that are alike.
type Record struct {
	// ID is the operation's id. The log and the response have it too. Of several operations
	// it is that of the first.
	ID       string
	Kind     Kind
	Actor    string     // one of the actors
	Digest   cas.Digest // zero if there is not exactly one blob
	FileID   string
	Provider string
	Start    time.Time     // by the clock of the machine that did the work
	Duration time.Duration // of several operations: the sum
	Bytes    int64         // of several operations: the sum
	Outcome  Outcome
	// ErrorCode is the code of the problem if the operation failed.
	ErrorCode string
	// Count is the number of operations if the record is of several; otherwise 0.
	Count int64
	// LastStart is when the last of several operations began; otherwise zero.
	LastStart time.Time
	// ChangesNothing: the operation only used what was there, so the Writer may gather it
	// with others. It is not stored.
	ChangesNothing bool
}

// Query selects a page of records, newest first. The zero value of each filter
// means no filter.
type Query struct {
	Limit int // at least 1
	// Before selects records before a position; zero means from the newest.
	Before Cursor
	// After selects records after a position: those that a follower has not seen.
	After    Cursor
	Kind     Kind
	Actor    string
	Digest   cas.Digest
	FileID   string
	Provider string
	Outcome  Outcome
	// Since selects what began then or later; of gathered records those whose last operation did.
	Since time.Time
	Until time.Time // exclusive
}

// IsNarrow reports whether a condition has an index in the order of the list, so that few
// records are looked at.
func (q Query) IsNarrow() bool {
	return q.Actor != "" || !q.Digest.IsZero() || q.FileID != "" || q.Provider != "" ||
		q.Kind != "" && q.Kind != KindUpload && q.Kind != KindDownload || q.Outcome != "" && q.Outcome != OutcomeOK
}

// Cursor is the position of a record. Records are numbered when they are stored.
type Cursor int64

// Entry is a record with its position.
type Entry struct {
	Record
	Cursor Cursor
}

// ErrNotFound: there is no such record. It may have been dropped, or be too old.
var ErrNotFound = errors.New("operation not found")

// Store keeps records. Index drivers implement it; index/indextest is their
// conformance kit. Errors of the database wrap cas.ErrIndexUnavailable.
type Store interface {
	// AppendRecords stores records, all or none.
	AppendRecords(ctx context.Context, records []Record) error
	// Records returns a page, newest first.
	Records(ctx context.Context, q Query) ([]Entry, error)
	// Record returns the newest record of an operation, or ErrNotFound.
	Record(ctx context.Context, id string) (Entry, error)
	// PruneRecords removes old records, the oldest first, and prepares the index for those of
	// the next days. It returns how many records it removed one by one: as many as the limit
	// means that there may be more.
	PruneRecords(ctx context.Context, p Prune) (int, error)
}

// Prune says which records PruneRecords removes.
type Prune struct {
	// Before removes the records that began before this time; zero removes none. A driver
	// may keep records until the day is over, in UTC, in which they began.
	Before time.Time
	// Keep is the number of newest records that stay at most; 0 means all. Gaps in the
	// numbers of records count as records.
	Keep int64
	// Limit is the largest number of records that are removed one by one; at least 1.
	Limit int
}
