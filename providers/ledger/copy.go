// Package ledger holds the rows of copies: a row for each copy of a blob at a
// provider. Index drivers keep them in a database; package replicator works on them.
package ledger

import (
	"fmt"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// Key names a copy. The same bytes under another account, purpose or extension
// are another file to a provider.
type Key struct {
	Digest    cas.Digest
	Provider  string
	Account   string
	Purpose   string
	Extension string // of the remote name: lower-case with its dot, or empty
}

// String returns the key for logs.
func (k Key) String() string {
	return fmt.Sprintf("%s at %s (%s%s)", k.Digest.Short(), k.Provider, k.Purpose, k.Extension)
}

// State is where a copy stands in its life.
type State string

// The states of a copy.
const (
	// StatePending: wanted, and not yet begun, or to be tried again at
	// NextAttemptAt.
	StatePending State = "pending"
	// StateUploading: whoever holds the lease is at work. Where the lease has run
	// out they died, and the upload may have got through.
	StateUploading State = "uploading"
	// StateProcessing: the provider has the file (FileID) and still works on it.
	StateProcessing State = "processing"
	// StateUnverified: somebody has noted FileID before there was this ledger. Whether
	// the provider has the file is found out before it is first handed out.
	StateUnverified State = "unverified"
	// StateReady: FileID names a remote file with the right bytes.
	StateReady State = "ready"
	// StateFailed: given up; Error says why. NextAttemptAt is when asking again makes
	// sense; zero means that only an explicit retry does.
	StateFailed State = "failed"
	// StateLost: the provider does not know the file any more. It is uploaded again
	// when next asked for, not before NextAttemptAt.
	StateLost State = "lost"
	// StateEvicted: removed at the provider to make room.
	StateEvicted State = "evicted"
	// StateDeleting: to be removed at the provider; tried until that confirms.
	StateDeleting State = "deleting"
	// StateDeleted: removed at the provider on request. The row stays, so that its
	// fence goes on, and callers see none.
	StateDeleted State = "deleted"
)

// Copy is a row of the ledger.
type Copy struct {
	Key
	State State
	// Fence grows with each claim. Only the holder of the newest may change the row.
	Fence int64
	// FileID is the provider's id of the remote file; empty where there is none. While
	// StateUploading it is that of the file to be replaced.
	FileID string
	// RemoteName is the name of the remote file FileID.
	RemoteName string
	// Name is the file's name as callers know it.
	Name      string
	MediaType string
	Size      int64 // bytes
	// Uncertain: an earlier attempt may have left a remote file that the row doesn't
	// name.
	Uncertain bool
	// Attempts counts the uploads tried since the copy was last wanted.
	Attempts int
	// Losses counts how often the provider has lost the file lately.
	Losses int
	// Error is why the last attempt failed; nil where it didn't.
	Error *providers.Error
	// OperationID names the work under way, or last done, for those who wait for it.
	OperationID string

	// Times are the database's; zero means never, or not known.
	CreatedAt     time.Time
	ReadyAt       time.Time
	LastUsedAt    time.Time
	ExpiresAt     time.Time
	NextAttemptAt time.Time
	LeaseUntil    time.Time
}

// IsAskedFor reports whether somebody has asked for the copy, by the operation that
// it names, and nothing has come of that yet.
func (c Copy) IsAskedFor() bool {
	switch c.State {
	case StatePending, StateUploading, StateProcessing:
		return true
	case StateUnverified: // or was it only noted?
		return !c.NextAttemptAt.IsZero() || !c.LeaseUntil.IsZero()
	}
	return false
}

// Settled reports whether no work is under way or due on a row in this state.
func (s State) Settled() bool {
	switch s {
	case StatePending, StateUploading, StateProcessing, StateDeleting:
		return false
	}
	return true
}
