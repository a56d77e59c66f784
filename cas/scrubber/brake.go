package scrubber

import (
	"fmt"

	"casgate/cas"
)

// brakeFloor is the number of checks below which no share of damaged objects stops a
// scrub: in a small batch a few are a large share.
const brakeFloor = 20

// Brake stops a scrub that finds too much damage at once, before it marks any of it:
// then the object store is more likely to be the wrong one, or to be read wrongly.
type Brake struct {
	// MaxShare is the largest share of damaged objects in a batch, from 0 to 1. 0 means no
	// limit. Blobs that were suspect before don't count.
	MaxShare float64
}

// BrakeError is the error of a scrub that the brake has stopped.
type BrakeError struct {
	Damaged, Checked int
	Brake            Brake
	Last             error // what is wrong with one of the objects
}

// Error implements error.
func (e *BrakeError) Error() string {
	return fmt.Sprintf("%d of the last %d objects are missing or damaged, and the limit is %.0f %%; the scrub stopped and marked none of them (one is: %v)",
		e.Damaged, e.Checked, 100*e.Brake.MaxShare, e.Last)
}

// check returns a *BrakeError if a batch has too many damaged objects.
func (b Brake) check(checked int, damaged []finding) error {
	newly := 0
	for _, f := range damaged {
		if f.blob.State == cas.StateLive {
			newly++
		}
	}
	if b.MaxShare == 0 || checked < brakeFloor || float64(newly) <= b.MaxShare*float64(checked) {
		return nil
	}
	return &BrakeError{Damaged: newly, Checked: checked, Brake: b, Last: damaged[0].err}
}
