package wiring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
)

// LockData makes sure that only one gateway uses the embedded index. Unlock gives the
// lock back; the system also does so when the process ends.
func LockData(data settings.Data) (unlock func(), err error) {
	lock := flock.New(data.Path(settings.LockFile))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if !locked {
		return nil, exit.Usagef("another gateway uses the data folder %s; stop it, or give this one its own with CAS_DATA_DIR", data.DataDir)
	}
	return func() { _ = lock.Unlock() }, nil // nothing can be done about an error here
}

// IsDataLocked reports whether a gateway has the lock of the data folder. It makes no lock
// file.
func IsDataLocked(data settings.Data) (bool, error) {
	lock := flock.New(data.Path(settings.LockFile), flock.SetFlag(os.O_RDONLY))
	got, err := lock.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !got, lock.Close()
}
