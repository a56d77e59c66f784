// Package settings has the settings of the commands: flags, environment variables and
// secrets. It opens nothing.
package settings

import (
	"os"
	"path/filepath"
	"strings"

	"casgate/cmd/cas/internal/exit"
)

// The entries of the data folder.
const (
	AdminTokenFile = "admin-token"
	ListenFile     = "listen"
	LockFile       = "lock"
	SQLiteFile     = "index.sqlite"
	ObjectsDir     = "objects"
	SpoolDir       = "spool"
)

// Data is the folder for everything that is stored on this machine.
type Data struct {
	DataDir string `name:"data-dir" env:"CAS_DATA_DIR" default:"${data_dir}" help:"Folder for the embedded index and store, the spool, and the admin token. A relative path begins at the working directory." placeholder:"DIR"`
}

// Path returns the path of an entry of the data folder.
func (d Data) Path(name string) string { return filepath.Join(d.DataDir, name) }

// CreateFolder creates the data folder if it is missing.
func (d Data) CreateFolder() error {
	if err := os.MkdirAll(d.DataDir, 0o700); err != nil {
		return exit.Usagef("can't create the data folder; name another one with CAS_DATA_DIR: %w", err)
	}
	return nil
}

// DefaultDataDir returns $XDG_DATA_HOME/casgate, else ~/.local/share/casgate. A service
// without a home gets the folder that systemd made for it ($STATE_DIRECTORY), else
// /var/lib/casgate.
func DefaultDataDir() string {
	if home := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(home) { // the specification says to ignore a relative path
		return filepath.Join(home, "casgate")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "casgate")
	}
	if first, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); filepath.IsAbs(first) {
		return first
	}
	return "/var/lib/casgate"
}
