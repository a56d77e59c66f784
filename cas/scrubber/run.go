package scrubber

import (
	"time"

	"casgate/cas"
)

// Run is the state of a scrub by command.
type Run struct {
	ID        string    `json:"id"`
	StartedAt time.Time `json:"started_at"`        // by the index's clock
	EndedAt   time.Time `json:"ended_at,omitzero"` // zero: it is running, or its process died
	// Complete: it has checked everything, so there is nothing to resume.
	Complete bool `json:"complete"`

	Quick  bool      `json:"quick,omitempty"`
	Before time.Time `json:"before,omitzero"` // see Due.Before
	Window Window    `json:"window"`
	// Position is how far a quick scrub is.
	Position Position `json:"position,omitzero"`

	Blobs    int64 `json:"blobs"`    // checked
	Bytes    int64 `json:"bytes"`    // read
	Damaged  int64 `json:"damaged"`  // missing or wrong, with those that were repaired
	Healed   int64 `json:"healed"`   // suspect before, and found right
	Repaired int64 `json:"repaired"` // damaged, and right again
	Unread   int64 `json:"unread"`   // could not be read, which proves nothing
	Changed  int64 `json:"changed"`  // deleted or stored anew during the check
	// Error says why the scrub ended early.
	Error string `json:"error,omitempty"`
}

// Position is a position in a listing, see cas.Cursor.
type Position struct {
	CreatedAt time.Time  `json:"created_at"`
	Digest    cas.Digest `json:"digest"`
}
