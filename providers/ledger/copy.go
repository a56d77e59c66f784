// Package ledger is the state machine of copies. A copy is a blob's file at a
// provider, and has one row. transitions.go holds every change of a row, as a function
// of the row and a time; Store is the database that keeps the rows. Index drivers
// implement Store; package replicator uses it.
package ledger

import (
	"fmt"
	"slices"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// Key identifies a copy. The same bytes under another account, purpose or extension
// are another file to a provider.
type Key struct {
	Digest    cas.Digest `json:"digest"`
	Provider  string     `json:"provider"`
	Account   string     `json:"account"`
	Purpose   string     `json:"purpose"`
	Extension string     `json:"extension,omitempty"` // of the remote name: lower-case with its dot, or empty
}

// String returns the key for logs.
func (k Key) String() string {
	return fmt.Sprintf("%s at %s (%s%s)", k.Digest.Short(), k.Provider, k.Purpose, k.Extension)
}

// Check returns an error that wraps cas.ErrInvalidText if no row can have this key.
func (k Key) Check() error {
	return checkTexts("provider", k.Provider, "account", k.Account, "purpose", k.Purpose, "extension", k.Extension)
}

// State is the state of a copy.
type State string

// The states of a copy. The zero State is that of a row that does not exist.
const (
	// StatePending: an upload is requested, and has not begun, or is tried again at
	// NextAttemptAt.
	StatePending State = "pending"
	// StateUploading: the holder of the lease uploads the file. If the lease has run
	// out, the holder died, and its upload may have succeeded.
	StateUploading State = "uploading"
	// StateProcessing: the provider has the file FileID and still processes it.
	StateProcessing State = "processing"
	// StateUnverified: FileID comes from an old system. Before the copy is first used,
	// its holder asks the provider whether it has the file.
	StateUnverified State = "unverified"
	// StateReady: FileID names a remote file with the right bytes.
	StateReady State = "ready"
	// StateFailed: the upload was given up; Error says why. A new request tries again
	// from NextAttemptAt on; if that is zero, only one with Retry does.
	StateFailed State = "failed"
	// StateLost: the provider does not have the file any more. The next request, from
	// NextAttemptAt on, uploads it again.
	StateLost State = "lost"
	// StateEvicted: the file was deleted at the provider to make room.
	StateEvicted State = "evicted"
	// StateDeleting: the file must be deleted at the provider, until that confirms it.
	StateDeleting State = "deleting"
	// StateDeleted: the file was deleted at the provider on request. The row stays, so
	// that its fence keeps growing; to callers the copy does not exist.
	StateDeleted State = "deleted"
)

// Settled reports whether no work is in progress or due on a row in this state.
func (s State) Settled() bool {
	switch s {
	case StatePending, StateUploading, StateProcessing, StateDeleting:
		return false
	}
	return true
}

// Copy is a row of the ledger.
type Copy struct {
	Key
	State State
	// Fence grows with each claim. Only the holder of the newest fence may change the
	// row.
	Fence int64
	// FileID is the provider's id of the remote file; empty if there is none. During
	// StateUploading it is that of the file to be replaced.
	FileID string
	// RemoteName is the name of the remote file FileID.
	RemoteName string
	// Name is the file's name as callers know it.
	Name      string
	MediaType string
	Size      int64 // bytes
	// Strays are remote files that the row does not name, and that exist or may turn up.
	Strays []Stray
	// Evicting: StateDeleting makes room for another copy. Otherwise a caller asked for
	// the delete.
	Evicting bool
	// Attempts counts the uploads tried since the copy was last requested. One whose
	// gateway died counts as one with the next. In StateDeleting Attempts counts the
	// deletes that the provider refused.
	Attempts int
	// Losses counts how often the provider has lost the file recently.
	Losses int
	// Error is why the last attempt failed; nil if it did not.
	Error *providers.Error
	// OperationID identifies the current or the last work on the copy.
	OperationID string
	// LaterDeletes are the operations of further requests to delete the copy, in their order,
	// that came while OperationID was deleting it. They end with it. The list stays in
	// StateDeleted.
	LaterDeletes []string

	// Times are by the database's clock; zero means never, or not known.
	CreatedAt     time.Time
	UploadedAt    time.Time // when the row first named FileID
	ReadyAt       time.Time
	LastUsedAt    time.Time
	LostAt        time.Time // the last loss that counts among Losses
	ExpiresAt     time.Time
	NextAttemptAt time.Time
	LeaseUntil    time.Time
	// LookAt is when the strays of a row are next looked for on which no other work is
	// due.
	LookAt time.Time
}

// IsDeletedFor reports whether an operation has asked for the delete of the copy.
func (c Copy) IsDeletedFor(operationID string) bool {
	return (c.State == StateDeleting || c.State == StateDeleted) &&
		(c.OperationID == operationID || slices.Contains(c.LaterDeletes, operationID))
}

// LastDelete returns the last operation that has asked for the delete of the copy.
func (c Copy) LastDelete() string {
	if n := len(c.LaterDeletes); n > 0 {
		return c.LaterDeletes[n-1]
	}
	return c.OperationID
}

// IsAskedFor reports whether a caller has asked for the copy, by the operation that
// the row names, and that operation has no result yet.
func (c Copy) IsAskedFor() bool {
	switch c.State {
	case StatePending, StateUploading, StateProcessing:
		return true
	case StateUnverified: // requested or claimed, not only entered
		return !c.NextAttemptAt.IsZero() || !c.LeaseUntil.IsZero()
	}
	return false
}

// TextKey identifies an extracted text. The extension decides how a provider reads the
// file.
type TextKey struct {
	Digest    cas.Digest `json:"digest"`
	Provider  string     `json:"provider"`
	Extension string     `json:"extension,omitempty"`
}

// Check returns an error that wraps cas.ErrInvalidText if no text can have this key.
func (k TextKey) Check() error {
	return checkTexts("provider", k.Provider, "extension", k.Extension)
}

// Usage is the room that the copies of one purpose take up in an account.
type Usage struct {
	Purpose string
	Files   int64
	Bytes   int64
	// Uploading are those of Files and Bytes that are being uploaded, or wait for it, and
	// have no earlier file at the provider.
	UploadingFiles int64
	UploadingBytes int64
}

// checkTexts checks pairs of a field and its value with cas.CheckText.
func checkTexts(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if err := cas.CheckText(pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}
