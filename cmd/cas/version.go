package main

import (
	"fmt"
	"runtime"

	"casgate/cmd/cas/internal/build"
	"casgate/cmd/cas/internal/terminal"
)

// versionCmd prints which build this is.
type versionCmd struct {
	JSON bool `name:"json" help:"Print a JSON object."`
}

// versionJSON is the JSON of a version.
type versionJSON struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// Run prints one line.
func (c versionCmd) Run(std terminal.Streams) error {
	if c.JSON {
		return terminal.PrintJSON(std.Out, versionJSON{build.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH})
	}
	_, err := fmt.Fprintln(std.Out, versionLine())
	return err
}

func versionLine() string {
	return fmt.Sprintf("cas %s (%s, %s/%s)", build.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
