package disk

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// Of returns the room on the disk of a folder. The folder must exist.
func Of(folder string) (Space, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return Space{}, err
	}
	name, err := windows.UTF16PtrFromString(absolute)
	if err != nil {
		return Space{}, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return Space{}, err
	}
	return Space{Free: int64(free), Device: filepath.VolumeName(absolute)}, nil
}
