package localtier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"casgate/cas/folderstore"
)

const (
	// markName is the file on disk that says that a folder is a local tier's. Its text begins with
	// markStart.
	markName  = "casgate-tier"
	markStart = "This folder is casgate's local tier"
	markText  = markStart + " (CAS_CACHE_DIR). Everything in it may be removed while no gateway uses it.\n"
)

var (
	// folderNames and fileNames are what a tier has beside its mark: folders, and files on disk.
	folderNames = folderstore.Names()
	fileNames   = []string{lockName, recordName}
)

var (
	// ErrForeignFolder says that a folder has something else in it than a local tier, or lies
	// where it does not belong.
	ErrForeignFolder = errors.New("the folder can't be a local tier; give an empty one")
	// ErrDiskFails says that the folder is a local tier's, and that its disk is full, read-only
	// or damaged.
	ErrDiskFails = errors.New("the disk of the local tier fails")
	// ErrDamagedRecord says that nobody can tell what a folder has. A start removes all copies.
	ErrDamagedRecord = errors.New("the record of the copies is damaged; the next start removes all copies")
)

// isOurs reports whether a folder is a local tier's. An empty or missing folder is not yet;
// any other one is an error that wraps ErrForeignFolder. Ours may also be true if there is an
// error: something in the folder can't be used.
func isOurs(dir string) (ours bool, err error) {
	if err := checkParents(dir); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); err == nil {
			return false, fmt.Errorf("%s is a symbolic link to nothing: %w", dir, fs.ErrNotExist)
		}
		return false, nil
	}
	if err != nil {
		return false, explain(err)
	}
	mark, hasMark, foreign, hasOwn := "", false, "", false
	var wrong error
	for _, e := range entries {
		switch name := e.Name(); {
		case name == markName && e.Type().IsRegular():
			hasMark = true
			if mark, err = readMark(dir); err != nil {
				// No other program makes a file of this name, so a bad sector says that the disk fails.
				return isDiskError(err), explain(err)
			}
		case slices.Contains(folderNames, name):
			hasOwn = true
			if !e.IsDir() {
				wrong = fmt.Errorf("%s is not a folder; remove it", filepath.Join(dir, name))
			}
		case slices.Contains(fileNames, name):
			hasOwn = true
			if !e.Type().IsRegular() {
				wrong = fmt.Errorf("%s is not a regular file; remove it", filepath.Join(dir, name))
			}
		case name == "lost+found": // of a file system of its own
		case strings.HasPrefix(name, probePrefix):
		default:
			foreign = name
		}
	}
	switch {
	case strings.HasPrefix(mark, markStart):
		return true, wrong
	case foreign != "":
		return false, fmt.Errorf("%w: %s has %s", ErrForeignFolder, dir, foreign)
	case hasMark && mark != "" || !hasMark && hasOwn:
		return false, fmt.Errorf("%w: %s has no right %s", ErrForeignFolder, dir, markName)
	}
	// A full disk may have kept the mark empty.
	return false, nil
}

// probePrefix begins the names of the folders that TryWrite makes for a moment.
const probePrefix = ".casgate-doctor-"

// TryWrite returns an error if nothing can be written to a folder. Tiers may start there meanwhile.
func TryWrite(dir string) error {
	probe, err := os.MkdirTemp(dir, probePrefix)
	if err != nil {
		return explain(err)
	}
	err = os.WriteFile(filepath.Join(probe, markName), []byte(markText), 0o600)
	return errors.Join(explain(err), os.RemoveAll(probe))
}

// readMark returns the beginning of the mark in a folder.
func readMark(dir string) (string, error) {
	f, err := os.Open(filepath.Join(dir, markName))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(len(markText))))
	return string(b), err
}

// checkParents refuses a folder inside that of another tier, or of a folder store.
func checkParents(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for parent := filepath.Dir(dir); parent != filepath.Dir(parent); parent = filepath.Dir(parent) {
		if info, err := os.Lstat(filepath.Join(parent, markName)); err == nil && info.Mode().IsRegular() {
			if mark, err := readMark(parent); err == nil && strings.HasPrefix(mark, markStart) {
				return fmt.Errorf("%w: %s lies in the local tier %s", ErrForeignFolder, dir, parent)
			}
		}
		if _, err := os.Lstat(filepath.Join(parent, folderstore.MarkName)); err == nil {
			return fmt.Errorf("%w: %s lies in the object folder %s", ErrForeignFolder, dir, parent)
		}
	}
	return nil
}

// claim makes a folder a local tier's, and reports whether it was one. Only its owner can read
// it then. Objects and files of others are never removed: a folder that has any is refused.
func claim(dir string) (wasOurs bool, err error) {
	ours, err := isOurs(dir)
	if err != nil || ours {
		return ours, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, explain(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil && !errors.Is(err, fs.ErrPermission) { // the folder may be another user's
		return false, explain(err)
	}
	return false, explain(os.WriteFile(filepath.Join(dir, markName), []byte(markText), 0o600))
}

// explain says in words what some errors of a disk mean.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("it is no folder: %w", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("its file system is mounted read-only: %w", err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("its disk is full: %w", err)
	}
	return err
}

// isOfDisk tells errors of a disk that fails from those of a wrong setting.
func isOfDisk(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) || isDiskError(err)
}

// lockWait is how long a start waits for the lock: `cas doctor` takes it for a moment.
const lockWait = time.Second

// acquireLock locks a folder for this process.
func acquireLock(dir string) (*flock.Flock, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	lock := flock.New(filepath.Join(dir, lockName))
	locked, err := lock.TryLockContext(ctx, lockWait/20)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	if err == nil && !locked {
		err = fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// Look checks the folder of a tier as New does, and changes nothing. It returns the bytes of the
// copies, which a process of this owner may use meanwhile. The error wraps ErrInUse if the folder
// is another owner's. After a crash there may be fewer bytes. An empty or missing folder has 0.
func Look(dir, owner string) (bytes int64, err error) {
	if ours, err := isOurs(dir); err != nil || !ours {
		return 0, err
	}
	isLocked, err := isLocked(dir)
	if err != nil {
		return 0, err
	}
	// As New opens it. Nothing is written, but the right to write is checked.
	f, err := openRegular(filepath.Join(dir, recordName), os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, explain(err)
	}
	r := &record{file: f}
	defer f.Close()
	if err := r.load(); err != nil {
		return 0, err
	}
	switch {
	case isLocked && r.owner != ownerSum(owner):
		return 0, fmt.Errorf("%w: %s", ErrInUse, dir)
	case !r.isSound && !isLocked: // a running gateway writes it
		return 0, fmt.Errorf("%w: %s", ErrDamagedRecord, dir)
	}
	return r.total(), nil
}

// isLocked reports whether a process uses a folder.
func isLocked(dir string) (bool, error) {
	name := filepath.Join(dir, lockName)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(name, flock.SetFlag(os.O_RDONLY))
	defer lock.Close()
	free, err := lock.TryRLock()
	return err == nil && !free, err
}
