package export

import (
	"encoding/json"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// version is the version of the format. A reader refuses any other, and a field that it does
// not know: a new field needs no new version, a field with another meaning does.
const version = 1

// Header is the first line of an export.
type Header struct {
	Version   int       `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	// Mark is the installation's mark, which is in the names of remote files.
	Mark providers.Mark `json:"mark"`
	// StoreMark is the mark of the object store; empty if it has none.
	StoreMark string `json:"store_mark,omitempty"`
}

// Counts are the numbers of rows by kind.
type Counts struct {
	Files  int64 `json:"files"`
	Copies int64 `json:"copies"`
	Texts  int64 `json:"texts"`
	Blobs  int64 `json:"blobs"`
}

// trailer is the last line of an export.
type trailer struct {
	Counts
	// SHA256 is the digest of all bytes before this line.
	SHA256 cas.Digest `json:"sha256"`
}

// line is one line. Exactly one field is set.
type line struct {
	Header  *Header   `json:"casgate_export,omitempty"`
	File    *fileLine `json:"file,omitempty"`
	Copy    *copyLine `json:"copy,omitempty"`
	Text    *textLine `json:"text,omitempty"`
	Blob    *blobLine `json:"blob,omitempty"`
	Trailer *trailer  `json:"end,omitempty"`
}

// The types of lines have the fields of the rows, with names. A row is converted to its
// line, which does not compile once a row has a field that its line lacks, or has in another
// place.

type fileLine struct {
	ID         string          `json:"id"`
	Digest     cas.Digest      `json:"digest,omitzero"`
	Size       int64           `json:"size"`
	Name       string          `json:"name"`
	MediaType  string          `json:"media_type"`
	Purpose    string          `json:"purpose"`
	Context    string          `json:"context,omitempty"`
	Tags       []string        `json:"tags,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	CreatedAt  time.Time       `json:"created_at"`
	AccessedAt time.Time       `json:"accessed_at,omitzero"`
	ExpiresAt  time.Time       `json:"expires_at,omitzero"`
	OnExpiry   string          `json:"on_expiry,omitempty"`
	Origin     *cas.Origin     `json:"origin,omitempty"`
}

type copyLine struct {
	ledger.Key
	State         ledger.State     `json:"state"`
	Fence         int64            `json:"fence"`
	FileID        string           `json:"file_id,omitempty"`
	RemoteName    string           `json:"remote_name,omitempty"`
	Name          string           `json:"name"`
	MediaType     string           `json:"media_type"`
	Size          int64            `json:"size"`
	Strays        []ledger.Stray   `json:"strays,omitempty"`
	Evicting      bool             `json:"evicting,omitempty"`
	Attempts      int              `json:"attempts,omitempty"`
	Losses        int              `json:"losses,omitempty"`
	Error         *providers.Error `json:"error,omitempty"`
	OperationID   string           `json:"operation_id,omitempty"`
	LaterDeletes  []string         `json:"later_deletes,omitempty"`
	CreatedAt     time.Time        `json:"created_at"`
	UploadedAt    time.Time        `json:"uploaded_at,omitzero"`
	ReadyAt       time.Time        `json:"ready_at,omitzero"`
	LastUsedAt    time.Time        `json:"last_used_at,omitzero"`
	LostAt        time.Time        `json:"lost_at,omitzero"`
	ExpiresAt     time.Time        `json:"expires_at,omitzero"`
	NextAttemptAt time.Time        `json:"next_attempt_at,omitzero"`
	LeaseUntil    time.Time        `json:"lease_until,omitzero"`
	LookAt        time.Time        `json:"look_at,omitzero"`
}

type textLine struct {
	ledger.TextKey
	Text      cas.Digest `json:"text"`
	CreatedAt time.Time  `json:"created_at"`
}

type blobLine struct {
	Digest      cas.Digest `json:"digest"`
	Size        int64      `json:"size"`
	MediaType   string     `json:"media_type"`
	Name        string     `json:"name,omitempty"`
	State       cas.State  `json:"state"`
	Generation  int32      `json:"generation,omitempty"`
	CreatedAt   time.Time  `json:"created_at"`
	TouchedAt   time.Time  `json:"touched_at"`
	CondemnedAt time.Time  `json:"condemned_at,omitzero"`
	DeletingAt  time.Time  `json:"deleting_at,omitzero"`
	VerifiedAt  time.Time  `json:"verified_at,omitzero"`
}

func lineOfBlob(b Blob) *blobLine {
	return &blobLine{
		Digest: b.Digest, Size: b.Size, MediaType: b.MediaType, Name: b.Name, State: b.State, Generation: b.Generation, CreatedAt: b.CreatedAt,
		TouchedAt: b.TouchedAt, CondemnedAt: b.CondemnedAt, DeletingAt: b.DeletingAt, VerifiedAt: b.VerifiedAt,
	}
}

func (l blobLine) row() Blob {
	return Blob{
		Blob:      cas.Blob{Digest: l.Digest, Size: l.Size, MediaType: l.MediaType, Name: l.Name, State: l.State, Generation: l.Generation, CreatedAt: l.CreatedAt},
		TouchedAt: l.TouchedAt, CondemnedAt: l.CondemnedAt, DeletingAt: l.DeletingAt, VerifiedAt: l.VerifiedAt,
	}
}

// count counts the row of a line.
func (c *Counts) count(l line) {
	switch {
	case l.File != nil:
		c.Files++
	case l.Copy != nil:
		c.Copies++
	case l.Text != nil:
		c.Texts++
	case l.Blob != nil:
		c.Blobs++
	}
}
