package scrubber

import (
	"context"
	"time"

	"casgate/cas"
)

// Index is what a scrub needs of an index. Index drivers implement it; index/indextest
// is their conformance kit. Each method is atomic and uses the database's clock.
//
// Errors of the database wrap cas.ErrIndexUnavailable. After such an error a write may
// or may not have been applied. Every write may be repeated.
type Index interface {
	// Touch, Trust and List are described at cas.Index. No cache may answer them.
	Touch(ctx context.Context, d cas.Digest) (cas.Blob, error)
	Trust(ctx context.Context, ref cas.ObjectRef) error
	List(ctx context.Context, q cas.Query) ([]cas.Blob, error)

	// Clock returns the database's time.
	Clock(ctx context.Context) (time.Time, error)

	// ClaimDue claims the blobs of a state that are due, the longest unverified first.
	// It leaves out blobs that another claim holds, or that are being changed. Busy
	// reports whether it claimed none, and has left out any.
	// Blobs that this claim holds already don't count.
	ClaimDue(ctx context.Context, c Claim, due Due) (blobs []cas.Blob, busy bool, err error)

	// ClaimBlobs claims visible blobs, also those that another scrub has claimed: its
	// claim ends. Blobs that aren't visible are left out.
	ClaimBlobs(ctx context.Context, c Claim, ds ...cas.Digest) ([]cas.Blob, error)

	// ExtendClaim makes the claim of blobs run for c.Lease from now. It leaves out blobs
	// that this claim no longer holds.
	ExtendClaim(ctx context.Context, c Claim, ds ...cas.Digest) error

	// FinishChecks records the result of checks and ends the claim of their blobs. It
	// returns the objects of the checks that counted. A check does not count if its claim
	// has ended: after a commit of the blob, or if another scrub has claimed it. Neither
	// does it count if the blob is no longer visible, or has another generation.
	FinishChecks(ctx context.Context, claim string, checks ...Check) ([]cas.ObjectRef, error)

	// ScrubState describes the index. It counts all blobs, which takes time.
	ScrubState(ctx context.Context) (State, error)

	// SaveScrub stores the state of a scrub by command, and makes its lease run this long
	// from now. A lease of 0 ends it. It reports held as false, and changes nothing, if a
	// lease of another run is running.
	SaveScrub(ctx context.Context, run Run, lease time.Duration) (held bool, err error)

	// LastScrub returns the last stored run, and whether its lease is running. It returns
	// the zero Run if there was none.
	LastScrub(ctx context.Context) (run Run, running bool, err error)
}

// Claim keeps other scrubs off a blob while its object is checked.
type Claim struct {
	ID    string
	Lease time.Duration // after it the claim has run out
}

// Due says which blobs ClaimDue claims.
type Due struct {
	State cas.State // live or suspect
	// Before: the last verification, or else the creation, was then or earlier.
	Before time.Time
	Window Window
	Limit  int
}

// Window is a part of all digests: those from From to To, both inclusive. If From is
// above To, it has those from From to the end and from the beginning to To.
type Window struct {
	From cas.Digest `json:"from"`
	To   cas.Digest `json:"to"`
}

// Verdict is the result of a check.
type Verdict string

// The verdicts.
const (
	// VerdictRight: the object has the right bytes.
	VerdictRight Verdict = "right"
	// VerdictHealed: the same, for a blob that was suspect when it was claimed. The blob
	// becomes live.
	VerdictHealed Verdict = "healed"
	// VerdictDamaged: the object is missing or wrong. The blob becomes suspect.
	VerdictDamaged Verdict = "damaged"
	// VerdictNone: the check was given up. The blob stays due.
	VerdictNone Verdict = "none"
)

// Check is the result of checking one object.
type Check struct {
	cas.ObjectRef
	Verdict Verdict
}

// State describes the verification of an index's blobs.
type State struct {
	Blobs   int64 `json:"blobs"`   // visible ones
	Suspect int64 `json:"suspect"` // those of them whose object is missing or damaged
	// Claimed is the number of blobs that scrubs are checking.
	Claimed int64 `json:"claimed"`
	// Oldest is the oldest verification of a live blob, or the creation of a blob that
	// was not verified since. It is zero if there is no live blob.
	Oldest time.Time `json:"oldest_verification,omitzero"`
	// Damaged lists suspect blobs, at most MaxListed.
	Damaged []cas.Blob `json:"-"`
}

// MaxListed limits the blobs that State lists.
const MaxListed = 1000
