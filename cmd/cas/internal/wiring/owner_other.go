//go:build !unix

package wiring

// checkOwner does nothing: there is no user who may do everything.
func checkOwner(string) error { return nil }
