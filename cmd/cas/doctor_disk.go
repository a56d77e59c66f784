package main

import (
	"errors"
	"fmt"
	"io/fs"

	"casgate/cmd/cas/internal/disk"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
)

// lowSpace is the number of free bytes below which a disk counts as nearly full.
const lowSpace = 1 << 30

// checkDisks checks that there is room on each disk below the data folder.
func (c *doctorCmd) checkDisks(e *examination) {
	const subject = "data folder"
	disks, err := disksOf([]string{c.DataDir, c.Path(settings.SpoolDir), c.Path(settings.ObjectsDir)}, disk.Of)
	if err != nil {
		e.fail(subject, err, "look at the disk under "+c.DataDir)
		return
	}
	for i, d := range disks {
		switch {
		case d.Free < lowSpace:
			e.warn(subject, fmt.Sprintf("%s has %s left", d.folder, terminal.Size(d.Free)), "make room, or set CAS_DATA_DIR to a folder on a larger disk")
		case i == 0:
			e.ok(subject, "%s can be written to, %s free", d.folder, terminal.Size(d.Free))
		}
	}
}

// folderDisk is the disk that a folder is on.
type folderDisk struct {
	folder string
	disk.Space
}

// disksOf returns the disks of the folders that exist, each with the first of its folders.
func disksOf(folders []string, of func(folder string) (disk.Space, error)) (disks []folderDisk, err error) {
	seen := map[any]bool{}
	for _, folder := range folders {
		space, err := of(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at the disk of %s: %w", folder, err)
		}
		if !seen[space.Device] {
			seen[space.Device] = true
			disks = append(disks, folderDisk{folder, space})
		}
	}
	return disks, nil
}
