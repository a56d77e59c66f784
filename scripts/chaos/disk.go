package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// diskSize is the size of a gateway's disk, which holds the spool.
const diskSize = 16 << 20

// namespaceFlags are those of unshare.
func namespaceFlags() []string {
	if os.Getuid() == 0 {
		return []string{"--mount"}
	}
	return []string{"--mount", "--user", "--map-root-user"}
}

// canMount returns an error if a program can't have a disk of its own, as in a container
// without the right to mount.
func canMount(ctx context.Context, folder, log string) error {
	args := append(append([]string{"unshare"}, namespaceFlags()...), "mount", "-t", "tmpfs", "tmpfs", folder)
	return program{path: "/usr/bin/unshare", args: args, log: log}.run(ctx)
}

// onOwnDisk makes a program run with a disk of its own in a folder, in a mount namespace
// that ends with it.
func (p program) onOwnDisk(folder string) program {
	flags := append([]string{"unshare"}, namespaceFlags()...)
	script := fmt.Sprintf(`mount -t tmpfs -o size=%d tmpfs "$1" && cd "$1" && shift && exe=$1 && shift && exec bash -c 'exec -a cas "$0" "$@"' "$exe" "$@"`, diskSize)
	p.args = append(append(flags, "sh", "-c", script, "sh", folder, p.path), p.args[1:]...)
	p.path = "/usr/bin/unshare"
	return p
}

// fillDisk fills the disk of the present process for a while.
func (g *gateway) fillDisk(lasting func()) error {
	g.mu.Lock()
	p := g.process
	g.mu.Unlock()
	if p == nil {
		return nil
	}
	// Seen from its namespace; the folder is gone with the process.
	folder := filepath.Join(fmt.Sprintf("/proc/%d/root", p.cmd.Process.Pid), g.program.dir)
	return ignoreGone(fill(folder, diskSize, lasting))
}

// errNotMounted: a folder lies on another disk than was meant. The process of a gateway
// exists before its disk does.
var errNotMounted = errors.New("the disk is not mounted")

// fill writes a file on disk until the disk of size bytes that is mounted at a folder is full,
// and removes it after a while. It returns errNotMounted if another disk is there, and writes
// nothing then: that would be the disk of all tests.
func fill(folder string, size int64, lasting func()) error {
	root, err := openDisk(folder, size)
	if err != nil {
		return err
	}
	defer root.Close()
	const name = "ballast"
	ballast, err := root.Create(name)
	if err != nil {
		return err
	}
	defer ballast.Close()
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = ballast.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, root.Remove(name))
	}
	lasting()
	return root.Remove(name)
}

// openDisk opens a folder where a disk of size bytes is mounted. It returns errNotMounted if
// the folder lies on another disk. What is mounted later doesn't change what is open.
func openDisk(folder string, size int64) (*os.Root, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	got, err := sizeOfDisk(root)
	if err == nil && got != size {
		err = fmt.Errorf("%w: %s has %d bytes, not %d", errNotMounted, folder, got, size)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// sizeOfDisk returns the size in bytes of the disk that a folder lies on.
func sizeOfDisk(root *os.Root) (int64, error) {
	folder, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	var s syscall.Statfs_t
	err = syscall.Fstatfs(int(folder.Fd()), &s)
	return int64(s.Blocks) * s.Bsize, err
}

// ignoreGone returns nil for the errors of a file in a namespace that has ended, or has no
// disk yet.
func ignoreGone(err error) error {
	for _, gone := range []error{os.ErrNotExist, syscall.ESRCH, syscall.EACCES, errNotMounted} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}
