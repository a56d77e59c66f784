package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dustin/go-humanize"

	"casgate/cmd/cas/internal/disk"
	"casgate/cmd/cas/internal/wiring"
)

// checkTier checks the folder of the local tier. A gateway may use it meanwhile.
func (c *doctorCmd) checkTier(e *examination) {
	const subject = "local tier"
	if err := wiring.CheckTier(c.LocalTier, c.ObjectStore); err != nil {
		e.fail(subject, err, "correct the settings it names")
		return
	}
	if c.CacheDir == "" {
		return
	}
	bytes, err := wiring.LookAtTier(c.CacheDir, c.Data)
	if errors.Is(err, wiring.ErrDamagedRecord) {
		e.warn(subject, err.Error(), "nothing is lost: the next reads make new copies")
		return
	}
	if err != nil {
		e.fail(subject, err, tierRemedy(err))
		return
	}
	// The first start makes a missing folder, in the last one that is there.
	folder := c.CacheDir
	for {
		_, err := os.Stat(folder)
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(folder) == folder {
			break
		}
		folder = filepath.Dir(folder)
	}
	if err := wiring.TryTierFolder(folder); err != nil {
		e.fail(subject, err, tierRemedy(err))
		return
	}
	room, err := disk.Of(folder)
	if err != nil {
		e.fail(subject, err, "look at the disk under "+folder)
		return
	}
	if possible := room.Free + bytes; possible < int64(c.CacheSize) {
		e.warn(subject, "the disk has room for "+humanize.IBytes(uint64(possible))+" of copies, and CAS_CACHE_SIZE is "+humanize.IBytes(uint64(c.CacheSize)), "set CAS_CACHE_SIZE to less than the room, or make room: a full disk makes no copies")
		return
	}
	e.ok(subject, "%s has %s of copies, and room for %s", c.CacheDir, humanize.IBytes(uint64(bytes)), humanize.IBytes(uint64(c.CacheSize)))
}

// tierRemedy says what to do when the folder of a local tier can't be used.
func tierRemedy(err error) string {
	switch {
	case errors.Is(err, wiring.ErrForeignFolder):
		return "name an empty folder with CAS_CACHE_DIR"
	case errors.Is(err, wiring.ErrTierInUse):
		return "give each gateway a folder of its own with CAS_CACHE_DIR"
	case errors.Is(err, fs.ErrPermission):
		return "give " + userName() + " the right to write there, or name another folder with CAS_CACHE_DIR"
	case errors.Is(err, syscall.EROFS):
		return "mount the file system for writing, or name another folder with CAS_CACHE_DIR"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on that disk, or name another folder with CAS_CACHE_DIR"
	}
	return "name another folder with CAS_CACHE_DIR, or look at its disk"
}
