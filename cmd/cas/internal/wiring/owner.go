package wiring

import "fmt"

// OwnerError refuses to work as root on a file or folder of another user.
type OwnerError struct {
	Path  string
	Owner string // as sudo takes it
}

func (e *OwnerError) Error() string { return e.Reason() + "; " + e.Remedy() }

// Reason says what is wrong, without the remedy.
func (e *OwnerError) Reason() string {
	return fmt.Sprintf("%s belongs to the user %s, whose gateway could not use what root makes there", e.Path, e.Owner)
}

// Remedy says what to do.
func (e *OwnerError) Remedy() string {
	return fmt.Sprintf("run this as that user, with the gateway's settings: sudo -u '%s' …", e.Owner)
}
