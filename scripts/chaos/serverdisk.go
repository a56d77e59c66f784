package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// serverDisk is a disk of Postgres or MinIO: a tmpfs in a mount namespace. The process that
// holds the namespace outlives the server's kills, and nothing is left when it ends.
type serverDisk struct {
	folder string
	size   int64 // in bytes
	holder *process
}

// diskFolder is where a server's disk is mounted, below its home.
const diskFolder = "disk"

// diskMaker makes the disk of a server below its home. A nil disk means that the server
// shares the campaign's.
type diskMaker func(ctx context.Context, home string, owner *syscall.Credential) (*serverDisk, error)

// serverDiskSize is the size of a server's disk in bytes: enough for what a campaign stores,
// and for Postgres's log.
func serverDiskSize(faults time.Duration) int64 {
	return 256<<20 + int64(faults/roundLength+1)*(16<<20)
}

// newServerDisk mounts a disk in a folder. It needs root, since Postgres refuses to run as
// the root of a user namespace.
func newServerDisk(ctx context.Context, folder string, size int64, owner *syscall.Credential) (*serverDisk, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("that needs root")
	}
	if owner == nil {
		owner = &syscall.Credential{}
	}
	const script = `mount -t tmpfs -o "$1" tmpfs "$2" && exec sleep infinity`
	options := fmt.Sprintf("size=%d,mode=0700,uid=%d,gid=%d", size, owner.Uid, owner.Gid)
	p := program{path: "/usr/bin/unshare", args: []string{"unshare", "--mount", "sh", "-c", script, "sh", options, folder}, log: folder + ".log"}
	holder, err := p.start()
	if err != nil {
		return nil, err
	}
	d := &serverDisk{folder, size, holder}
	if err := holder.until(ctx, func(context.Context) error { return d.isMounted() }); err != nil {
		holder.kill()
		return nil, fmt.Errorf("mount a tmpfs: %w; %s", err, tail(p.log, 1000))
	}
	return d, nil
}

// path returns the path of a file on disk, as seen from outside the namespace.
func (d *serverDisk) path(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", d.holder.cmd.Process.Pid), d.folder, name)
}

func (d *serverDisk) isMounted() error {
	root, err := openDisk(d.path(""), d.size)
	if err != nil {
		return err
	}
	return root.Close()
}

// within makes a program run where the disk is mounted. A nil disk changes nothing. setpriv
// sets the death signal, which a change of the user clears. env sets the variables only
// after that, since libfaketime must not be loaded by another user.
func (d *serverDisk) within(p program) program {
	if d == nil {
		return p
	}
	args := []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", d.holder.cmd.Process.Pid), "setpriv", "--pdeathsig", "KILL"}
	if c := p.credential; c != nil {
		args = append(args, "--reuid", strconv.Itoa(int(c.Uid)), "--regid", strconv.Itoa(int(c.Gid)), "--clear-groups")
		p.credential = nil
	}
	args = append(append(args, "env", "-i"), p.env...)
	p.args = append(append(args, p.path), p.args[1:]...)
	p.path, p.env = "/usr/bin/nsenter", []string{"PATH=" + os.Getenv("PATH")}
	return p
}

// close removes the disk, after its server has ended.
func (d *serverDisk) close() {
	if d != nil {
		d.holder.kill()
	}
}

// fillDisk fills the server's disk for a while. Postgres may end by itself then; it is
// started again once there is room.
func (s *server) fillDisk(ctx context.Context, lasting func()) error {
	s.breaking.Lock()
	defer s.breaking.Unlock()
	if err := fill(s.disk.path(""), s.disk.size, lasting); err != nil {
		return err
	}
	if err := s.process.until(ctx, s.answers); !errors.Is(err, errEnded) {
		return err
	}
	return s.start(ctx)
}
