package main

import (
	"fmt"
	"runtime"
)

// versionCmd prints which build this is.
type versionCmd struct{}

// Run prints one line.
func (versionCmd) Run(std stdio) error {
	_, err := fmt.Fprintf(std.out, "cas %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
