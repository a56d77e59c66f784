// Package export writes everything that an index knows about blobs, files and copies to
// a file of JSON lines, and reads it back into an index. Secrets are not in it: no
// tokens, no signing keys. The journal is not in it either.
//
// The first line is a header with the version, the last one a trailer with counts and the
// SHA-256 of all lines before it, so that a truncated or damaged file is noticed before
// a row of it is used.
package export

import (
	"context"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// Blob is a row of a blob in any state, also that of a deleted one.
type Blob struct {
	cas.Blob
	TouchedAt   time.Time
	CondemnedAt time.Time // zero: never
	DeletingAt  time.Time // zero: never
	VerifiedAt  time.Time // zero: never
}

// Text is a row of a text that a provider extracted from a blob.
type Text struct {
	ledger.TextKey
	Text      cas.Digest // the blob with the text
	CreatedAt time.Time
}

// Source is what an export needs of an index. Index drivers implement it;
// index/indextest is their conformance kit. Each Export method returns at most limit rows
// in the order of their key, and begins after the given one; the zero key means from the
// start. Rows in every state are among them. Errors of the database wrap
// cas.ErrIndexUnavailable.
type Source interface {
	ExportFiles(ctx context.Context, after string, limit int) ([]cas.File, error)
	ExportCopies(ctx context.Context, after ledger.Key, limit int) ([]ledger.Copy, error)
	ExportTexts(ctx context.Context, after ledger.TextKey, limit int) ([]Text, error)
	ExportBlobs(ctx context.Context, after cas.Digest, limit int) ([]Blob, error)
	// Mark is described at ledger.Store.
	Mark(ctx context.Context) (providers.Mark, error)
}

// Outcome is the result for one row.
type Outcome int

// The outcomes of rows.
const (
	// Restored: the row was stored.
	Restored Outcome = iota
	// Kept: there is such a row already. It may be newer than the export.
	Kept
	// Differs: there is another row in its place, with another size or digest, or with
	// another remote file. It stays as it is.
	Differs
	// Completed: the row of a blob was there without a name or with the default media type,
	// as a reindex without an export makes it, and got those of the export.
	Completed
)

// Target is what the way back needs of an index. Index drivers implement it. Each method
// is atomic, stores the rows as they are, and returns an outcome for each row, in their
// order. A row that exists stays as it is, except for Completed. No two rows have the same key.
type Target interface {
	// RestoreBlobs stores rows of blobs. It counts the files that refer to them. A row of the
	// same size that readers see gets the name and the media type that it lacks.
	RestoreBlobs(ctx context.Context, blobs []Blob) ([]Outcome, error)
	// RestoreFiles stores files. If a file's blob has no row, it gets that of a removed
	// blob: the file has its bytes again after the next upload of the blob.
	RestoreFiles(ctx context.Context, files []cas.File) ([]Outcome, error)
	RestoreCopies(ctx context.Context, copies []ledger.Copy) ([]Outcome, error)
	RestoreTexts(ctx context.Context, texts []Text) ([]Outcome, error)
	// Missing is described at cas.Index.
	Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error)
}
