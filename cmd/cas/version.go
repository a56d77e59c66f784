package main

import (
	"fmt"
	"runtime"

	"casgate/cmd/cas/internal/build"
	"casgate/cmd/cas/internal/terminal"
)

// versionCmd prints which build this is.
type versionCmd struct{}

// Run prints one line.
func (versionCmd) Run(std terminal.Streams) error {
	_, err := fmt.Fprintf(std.Out, "cas %s (%s, %s/%s)\n", build.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
