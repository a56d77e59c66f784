package ledger

import (
	"context"
	"errors"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// ErrNotFound: the ledger has no such copy.
var ErrNotFound = errors.New("copy not found")

// Store keeps the rows of copies. Index drivers implement it; index/indextest is
// their conformance kit. Each method is atomic, and all times and leases go by
// the database's clock. Implementations announce every change of a row to the
// listeners of all gateways.
//
// Errors that are nobody's fault but the database's wrap cas.ErrIndexUnavailable;
// after one of those a write may or may not have been applied. Where a row is
// named that isn't there, or is StateDeleted, errors wrap ErrNotFound, unless
// the method says otherwise.
type Store interface {
	// Copy returns the row.
	Copy(ctx context.Context, k Key) (Copy, error)

	// Copies returns the rows of a blob at all providers and accounts but those
	// StateDeleted, by creation.
	Copies(ctx context.Context, d cas.Digest) ([]Copy, error)

	// CopyOfOperation returns the row, in whatever state, that an operation is about.
	CopyOfOperation(ctx context.Context, operationID string) (Copy, error)

	// RequestCopy makes sure that there is a row that says the copy is wanted, for
	// whichever gateway comes to it first: where there is none, or it may be claimed
	// for w, it becomes StatePending (StateUnverified stays so), due now, with w's name,
	// media type and size, its attempts and error cleared. Unless it was asked for
	// before (Copy.IsAskedFor) it also gets w's operation. In all other cases, and where
	// it is StateProcessing, it changes nothing. It returns the row as it then is.
	RequestCopy(ctx context.Context, w Wanted) (Copy, error)

	// ClaimCopy gives the caller the row, to work on until the lease runs out, where
	// it may be claimed:
	//
	//   no row, StateEvicted or StateDeleted  always
	//   StatePending                          where no lease runs and it is due
	//   StateUploading, StateProcessing       where no lease runs
	//   StateUnverified                       where no lease runs
	//   StateReady                            where it expires within w.Margin
	//   StateFailed, StateLost                where it is due, or w.Retry
	//   StateDeleting                         never
	//
	// A row is due where NextAttemptAt is set and has passed; with w.Retry all are. It
	// then has the next fence, is StateUploading (StateProcessing and StateUnverified
	// stay so), has w's name, media type and size, and is Uncertain where it was, or was
	// StateUploading before. Coming from any state but StatePending, StateUploading,
	// StateProcessing and StateUnverified its attempts start over, and unless it was
	// asked for before (Copy.IsAskedFor) it gets w's operation.
	// Otherwise won is false and the row is returned as it is.
	ClaimCopy(ctx context.Context, w Wanted, lease time.Duration) (c Copy, won bool, err error)

	// EnterCopy stores a copy that somebody has noted before: StateUnverified, with this
	// file id and all of w but Margin and Retry, not due. Where there is a row already, of
	// whatever state, it changes nothing. It returns the row as it then is.
	EnterCopy(ctx context.Context, w Wanted, fileID string) (Copy, error)

	// ExtendLease makes the lease run for that long from now. It reports false where
	// the fence isn't the newest any more: the lease was lost.
	ExtendLease(ctx context.Context, k Key, fence int64, lease time.Duration) (held bool, err error)

	// CompleteCopy records the remote file f. Its status decides between StateReady
	// and StateProcessing; the lease is kept in the latter only. Error, Uncertain and
	// NextAttemptAt are cleared, with StateReady also Attempts. It reports false, and
	// changes nothing, where the fence isn't the newest any more. With the newest it
	// may be repeated, and so may FailCopy and FinishDelete: what is recorded already is
	// held.
	CompleteCopy(ctx context.Context, k Key, fence int64, f providers.RemoteFile) (c Copy, held bool, err error)

	// FailCopy ends an attempt that failed, and the lease. The file id is cleared
	// unless the row becomes StateReady, which only a renewal can: one that is
	// StateUploading and has an old file. A row that is Uncertain stays so until it is
	// completed. It reports false, and changes nothing, where
	// the fence isn't the newest any more.
	FailCopy(ctx context.Context, k Key, fence int64, f Failure) (c Copy, held bool, err error)

	// LoseCopy marks a copy StateLost whose remote file is gone: only where it is
	// StateReady or StateProcessing and FileID is this one; otherwise it changes
	// nothing. Its file id is cleared. Losses starts over where the last loss is
	// longer ago than window; beyond allowed losses the row becomes due only when the
	// window is over, otherwise at once. It returns the row as it then is.
	LoseCopy(ctx context.Context, k Key, fileID string, allowed int, window time.Duration) (Copy, error)

	// DeleteCopy claims a row in order to remove the remote file: it becomes
	// StateDeleting with the next fence, whoever holds a lease, and due when this
	// lease runs out; Uncertain where it was, or was StateUploading; without the error
	// that it has from making the copy. The row is then finished with FinishDelete or
	// FailDelete. A row that is StateDeleting already is claimed only where no lease
	// runs; otherwise won is false. Where operationID isn't empty it becomes the row's.
	DeleteCopy(ctx context.Context, k Key, operationID string, lease time.Duration) (c Copy, won bool, err error)

	// FinishDelete ends a delete: the row becomes the given state, StateDeleted or
	// StateEvicted, without a file id. It reports false, and changes nothing, where
	// the fence isn't the newest any more.
	FinishDelete(ctx context.Context, k Key, fence int64, to State) (held bool, err error)

	// FailDelete records why a delete failed, and when to try again.
	FailDelete(ctx context.Context, k Key, fence int64, f Failure) (c Copy, held bool, err error)

	// EvictCopy claims, as DeleteCopy does, the StateReady copy of room's account (and
	// of a purpose, unless that is empty) that was used least recently, counting from
	// when it became ready where it never was used; never room itself, the copy to
	// make room for. Won is false where there is none.
	EvictCopy(ctx context.Context, room Key, purpose string, lease time.Duration) (c Copy, won bool, err error)

	// UseCopies records when copies were last used; times that are earlier than what
	// is known change nothing, and neither do rows that aren't there.
	UseCopies(ctx context.Context, uses map[Key]time.Time) error

	// DueCopies returns rows of the accounts (fingerprints, see Account) that need work
	// nobody does: StatePending, StateUnverified and StateDeleting where due and no
	// lease runs, StateUploading, StateProcessing and StateUnverified whose lease ran
	// out; the longest waiting first.
	DueCopies(ctx context.Context, accounts []string, limit int) ([]Copy, error)

	// CopyUsage counts the rows of an account by purpose that take up room at the
	// provider, or are about to: StateUploading, StateProcessing, StateUnverified,
	// StateReady, StateDeleting.
	CopyUsage(ctx context.Context, account string) ([]Usage, error)

	// CopiesAt returns rows at a provider, of all accounts, but those StateDeleted, in
	// the order of digest, account, purpose, extension, beginning after the given key
	// (the zero Key: from the start).
	CopiesAt(ctx context.Context, provider string, after Key, limit int) ([]Copy, error)

	// ExtractedText returns the digest of the text extracted from a blob, or
	// ErrNotFound.
	ExtractedText(ctx context.Context, k TextKey) (cas.Digest, error)

	// SetExtractedText records it, in place of one recorded before.
	SetExtractedText(ctx context.Context, k TextKey, text cas.Digest) error
}

// Wanted is a copy that somebody asks for.
type Wanted struct {
	Key
	Name        string
	MediaType   string
	Size        int64
	OperationID string
	// Margin: a ready copy that expires within it is to be renewed.
	Margin time.Duration
	// Retry: the caller asks explicitly to try again what failed.
	Retry bool
}

// Failure is the outcome of an attempt that failed.
type Failure struct {
	// State is StatePending, StateFailed, StateReady (a renewal failed, and the old
	// file is still good) or StateDeleting.
	State State
	Error *providers.Error
	// Uncertain: the attempt may have left a remote file.
	Uncertain bool
	// Again: try again After from now; otherwise never by itself.
	Again bool
	After time.Duration
}

// Usage is what an account's copies of a purpose take up.
type Usage struct {
	Purpose string
	Files   int64
	Bytes   int64
}

// TextKey names an extracted text. The extension decides how a provider reads the
// file.
type TextKey struct {
	Digest    cas.Digest
	Provider  string
	Extension string
}
