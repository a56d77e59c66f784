// Package journal keeps a record of every operation: what was done, by whom, to
// what, how long it took, how it ended.
//
// Records are written off the path of requests: a Writer takes them without ever
// waiting, and stores them in batches. What it can't keep up with is dropped, and
// counted.
package journal

import (
	"context"
	"errors"
	"time"

	"casgate/cas"
)

// Kind is what was done.
type Kind string

// The kinds of operations.
const (
	KindUpload     Kind = "upload"   // a blob was taken in, or found there already
	KindDownload   Kind = "download" // a blob's bytes were read
	KindDelete     Kind = "delete"   // a blob or a file was deleted
	KindSync       Kind = "sync"     // a copy was made sure of
	KindUnsync     Kind = "unsync"   // a copy was deleted at its provider
	KindEvict      Kind = "evict"    // a copy was removed at its provider to make room
	KindReconcile  Kind = "reconcile"
	KindImport     Kind = "import"
	KindBackfill   Kind = "backfill" // an imported file's bytes were taken in
	KindScrub      Kind = "scrub"
	KindExpire     Kind = "expire" // a file had reached its end
	KindTokenMade  Kind = "token-created"
	KindTokenEnded Kind = "token-revoked"
	KindKeyMade    Kind = "signing-key-created"
	KindKeyEnded   Kind = "signing-key-retired"
)

// Kinds are all kinds.
var Kinds = []Kind{
	KindUpload, KindDownload, KindDelete, KindSync, KindUnsync, KindEvict, KindReconcile, KindImport, KindBackfill,
	KindScrub, KindExpire, KindTokenMade, KindTokenEnded, KindKeyMade, KindKeyEnded,
}

// The actors. A token's id follows ActorToken.
const (
	ActorToken   = "token:"
	ActorURL     = "url"     // whoever has a signed URL
	ActorPublic  = "public"  // whoever reads what everybody may
	ActorNone    = "none"    // whoever reaches a gateway without authentication
	ActorCLI     = "cli"     // a command that works on the index itself
	ActorGateway = "gateway" // the gateway by itself
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

// Record is one operation.
type Record struct {
	// ID is the operation's, which the log and the answer to a request carry too.
	ID       string
	Kind     Kind
	Actor    string     // who asked: one of the actors
	Digest   cas.Digest // zero where there is no one blob
	FileID   string
	Provider string
	Start    time.Time // by the clock of the machine it was done on
	Duration time.Duration
	Bytes    int64
	Outcome  Outcome
	// ErrorCode is the problem's code where it failed.
	ErrorCode string
}

// Query selects a page of records, newest first. The zero value of each filter
// means no filter.
type Query struct {
	Limit int // at least 1
	// Before is the place to go on from; zero means the newest.
	Before Cursor
	// After selects records that come after a place: what a follower has not seen.
	After    Cursor
	Kind     Kind
	Actor    string
	Digest   cas.Digest
	FileID   string
	Provider string
	Outcome  Outcome
	Since    time.Time // inclusive
	Until    time.Time // exclusive
}

// Cursor is a place among the records, which are numbered as they are stored.
type Cursor int64

// Entry is a record with its place.
type Entry struct {
	Record
	Cursor Cursor
}

// ErrNotFound: there is no such record; it may have been dropped, or be too old.
var ErrNotFound = errors.New("operation not found")

// Store keeps records. Index drivers implement it; index/indextest is their
// conformance kit. Errors that are the database's wrap cas.ErrIndexUnavailable.
type Store interface {
	// AppendRecords stores records, all or none.
	AppendRecords(ctx context.Context, records []Record) error
	// Records returns a page, newest first.
	Records(ctx context.Context, q Query) ([]Entry, error)
	// Record returns the newest record of an operation, or ErrNotFound.
	Record(ctx context.Context, id string) (Entry, error)
	// PruneRecords removes records that began before the time given, the oldest first,
	// at most limit of them, and returns how many it removed.
	PruneRecords(ctx context.Context, before time.Time, limit int) (int, error)
}
