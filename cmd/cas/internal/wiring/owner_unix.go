//go:build unix

package wiring

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"casgate/cmd/cas/internal/exit"
)

// CheckOwner refuses to work as root on a file or folder of another user. What root makes there,
// that user's gateway can't use: uploads and starts would fail later. A missing one is fine.
func CheckOwner(path string) error {
	info, err := os.Stat(path)
	if err != nil || os.Geteuid() != 0 {
		return nil // what opens it reports the error
	}
	dir := path
	if !info.IsDir() {
		dir = filepath.Dir(path)
	}
	uid, ok := ownerOf(info)
	if !ok || uid == 0 || newFileOwner(dir) == uid {
		return nil
	}
	owner := strconv.FormatUint(uint64(uid), 10)
	name := "#" + owner // as sudo takes it
	if u, err := user.LookupId(owner); err == nil {
		name = u.Username
	}
	return exit.With(exit.Usage, &OwnerError{Path: path, Owner: name})
}

func ownerOf(info fs.FileInfo) (uid uint32, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Uid, true
}

// newFileOwner returns who owns what this process makes in a folder. Some file systems give root's files
// to another user: NFS that trusts no root, and folders of the host in a container. It returns 0 if
// nothing can be made.
func newFileOwner(dir string) (uid uint32) {
	f, err := os.CreateTemp(dir, ".casgate-owner-")
	if err != nil {
		return 0
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	uid, _ = ownerOf(info)
	return uid
}
