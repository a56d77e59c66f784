package collector

import "fmt"

// brakeFloor is the number of blobs that a collection may always remove: in a small
// store a few deletes are a large share.
const brakeFloor = 1000

// Brake stops a collection that would remove too much at once, before it begins: such
// a delete is more often a mistake than a wish.
type Brake struct {
	// MaxShare is the largest share of all blobs, from 0 to 1. 0 means no limit. Up to
	// 1000 blobs are not too much, whatever their share.
	MaxShare float64
	// MaxBlobs is the largest number of blobs; 0 means no limit.
	MaxBlobs int64
}

// BrakeError is the error of a collection that the brake has stopped.
type BrakeError struct {
	Due   Due
	Brake Brake
}

// Error implements error.
func (e *BrakeError) Error() string {
	if e.Brake.tooMany(e.Due) {
		return fmt.Sprintf("the collection would remove %d blobs, and the limit is %d; it removed none", e.Due.Blobs, e.Brake.MaxBlobs)
	}
	return fmt.Sprintf("the collection would remove %d of %d blobs (%.0f %%), and the limit is %.0f %%; it removed none",
		e.Due.Blobs, e.Due.Blobs+e.Due.Visible, 100*share(e.Due), 100*e.Brake.MaxShare)
}

func (b Brake) tooMany(due Due) bool { return b.MaxBlobs > 0 && due.Blobs > b.MaxBlobs }

// needsShare reports whether check needs the number of visible blobs.
func (b Brake) needsShare(due Due) bool { return b.MaxShare > 0 && due.Blobs > brakeFloor }

// check returns a *BrakeError if the collection must not begin.
func (b Brake) check(due Due) error {
	if b.tooMany(due) || b.needsShare(due) && share(due) > b.MaxShare {
		return &BrakeError{Due: due, Brake: b}
	}
	return nil
}

// share is the share of all blobs that would be removed.
func share(due Due) float64 { return float64(due.Blobs) / float64(due.Blobs+due.Visible) }
