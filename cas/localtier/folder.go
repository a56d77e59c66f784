package localtier

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// markName is the disk file that says that a folder is a local tier's.
const markName = "casgate-tier"

const markText = "This folder is casgate's local tier (CAS_CACHE_DIR). Everything in it may be removed while no gateway uses it.\n"

// ErrForeignFolder says that a folder has something else in it than a local tier.
var ErrForeignFolder = errors.New("the folder is not empty, and is no folder of a local tier; give an empty one")

// isOurs reports whether a folder is a local tier's. An empty or missing folder is not yet;
// any other one is an error that wraps ErrForeignFolder.
func isOurs(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	foreign := ""
	for _, e := range entries {
		switch {
		case e.Name() == markName:
			return true, nil
		case e.Name() == "lost+found": // of a file system of its own
		case strings.HasPrefix(e.Name(), probePrefix):
		default:
			foreign = e.Name()
		}
	}
	if foreign != "" {
		return false, fmt.Errorf("%w: %s has %s", ErrForeignFolder, dir, foreign)
	}
	return false, nil
}

// probePrefix begins the names of the folders that TryWrite makes for a moment.
const probePrefix = ".casgate-doctor-"

// TryWrite returns an error if nothing can be written to a folder. Tiers may start there meanwhile.
func TryWrite(dir string) error {
	probe, err := os.MkdirTemp(dir, probePrefix)
	if err != nil {
		return err
	}
	return os.Remove(probe)
}

// claim makes a folder a local tier's, unless it is one. Only its owner can read it then.
// Objects and disk files of others are never removed: a folder that has any is refused.
func claim(dir string) error {
	ours, err := isOurs(dir)
	if err != nil || ours {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil && !errors.Is(err, fs.ErrPermission) { // the folder may be another user's
		return err
	}
	return os.WriteFile(filepath.Join(dir, markName), []byte(markText), 0o600)
}
