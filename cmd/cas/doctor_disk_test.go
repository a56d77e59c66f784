package main

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"casgate/cmd/cas/internal/disk"
)

func TestDisksOfFolders(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	of := func(folder string) (disk.Space, error) {
		switch folder {
		case "missing":
			return disk.Space{}, fs.ErrNotExist
		case "broken":
			return disk.Space{}, broken
		case "spool":
			return disk.Space{Free: 5, Device: 2}, nil
		}
		return disk.Space{Free: 7, Device: 1}, nil
	}
	disks, err := disksOf([]string{"data", "missing", "spool", "objects"}, of)
	want := []folderDisk{{"data", disk.Space{Free: 7, Device: 1}}, {"spool", disk.Space{Free: 5, Device: 2}}}
	if err != nil || !slices.Equal(disks, want) {
		t.Errorf("%v, %v; want %v", disks, err, want)
	}
	if _, err := disksOf([]string{"data", "broken"}, of); !errors.Is(err, broken) {
		t.Errorf("error %v; want %v", err, broken)
	}
}
