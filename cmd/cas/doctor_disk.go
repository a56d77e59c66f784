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
	for i, d := range disk.Distinct(dataFolders(c.Data, c.ObjectStore)) {
		switch {
		case i > 0 && errors.Is(d.Err, fs.ErrNotExist): // a start makes it
		case d.Err != nil:
			e.fail(subject, d.Err, "look at the disk under "+d.Path)
		case d.Free < lowSpace:
			advice := "make room, or set CAS_DATA_DIR to a folder on a larger disk"
			if i > 0 {
				advice = "make room, or mount a larger disk there"
			}
			e.warn(subject, fmt.Sprintf("%s has %s left", d.Path, terminal.Size(d.Free)), advice)
		case i == 0:
			e.ok(subject, "%s can be written to, %s free", d.Path, terminal.Size(d.Free))
		}
	}
}

// dataFolders returns the folders that a gateway fills, the data folder first. Each may be on a
// disk of its own.
func dataFolders(data settings.Data, store settings.ObjectStore) []disk.Folder {
	all := []disk.Folder{{Name: "data", Path: data.DataDir}, {Name: settings.SpoolDir, Path: data.Path(settings.SpoolDir)}}
	if store.Embedded() {
		all = append(all, disk.Folder{Name: settings.ObjectsDir, Path: data.Path(settings.ObjectsDir)})
	}
	return all
}
