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
	name := filepath.Join(fmt.Sprintf("/proc/%d/root", p.cmd.Process.Pid), g.program.dir, "ballast")
	return ignoreGone(fill(name, lasting))
}

// fill writes a disk file until the disk is full, and removes it after a while.
func fill(name string, lasting func()) error {
	ballast, err := os.Create(name)
	if err != nil {
		return err
	}
	defer ballast.Close()
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = ballast.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, os.Remove(name))
	}
	lasting()
	return os.Remove(name)
}

// ignoreGone returns nil for the errors of a file in a namespace that has ended.
func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EACCES) {
		return nil
	}
	return err
}
