package argument

import (
	"casgate/cmd/cas/internal/exit"
)

const (
	// StdinPath stands for standard input in a list of paths.
	StdinPath = "-"
	// StdoutPath stands for standard output as the path of an output.
	StdoutPath = "-"
)

// CheckStdin makes sure that at most one of the paths is standard input.
func CheckStdin(paths []string) error {
	count := 0
	for _, path := range paths {
		if path == StdinPath {
			count++
		}
	}
	if count > 1 {
		return exit.Usagef("standard input can be stored once only")
	}
	return nil
}
