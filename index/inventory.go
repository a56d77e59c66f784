package index

import (
	"context"
	"time"

	"github.com/google/uuid"

	"casgate/cas"
	"casgate/providers/ledger"
)

// Inventory is how many of each kind of row an index has.
type Inventory struct {
	Blobs  []BlobCount
	Files  int64 // expired ones that are not removed yet included
	Copies []CopyCount
}

// BlobCount counts the blobs in one state.
type BlobCount struct {
	State cas.State
	Count int64
	Bytes int64
}

// CopyCount counts the copies at one provider in one state.
type CopyCount struct {
	Provider string
	State    ledger.State
	Count    int64
	// Oldest is the smallest id of an operation among them, or "".
	Oldest string
}

// Began returns when the oldest operation among the copies began. It reports false if that
// isn't known: an operation's id has its time in it (RFC 9562, section 5.7), except for those
// that a client chose.
func (c CopyCount) Began() (time.Time, bool) {
	id, err := uuid.Parse(c.Oldest)
	if err != nil || id.Version() != 7 {
		return time.Time{}, false
	}
	seconds, nanos := id.Time().UnixTime()
	return time.Unix(seconds, nanos), true
}

// InventorySource counts the rows of an index. It reads all of them, which takes about a
// second for a million rows.
type InventorySource interface {
	Inventory(ctx context.Context) (Inventory, error)
}
