//go:build !unix

package wiring

// CheckOwner does nothing: there is no user who may do everything.
func CheckOwner(string) error { return nil }
