package send

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// hotBody is a body in a file that lies in memory (memfd_create(2)), which the kernel sends
// without copying it. It is freed when its last user has released it.
type hotBody struct {
	file  *os.File
	fd    int // the file's
	size  int64
	users atomic.Int32
}

// newHotBody returns a copy of the bytes with one user, the caller.
func newHotBody(b []byte) (*hotBody, error) {
	fd, err := unix.MemfdCreate("casgate-body", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "casgate-body")
	if _, err := file.Write(b); err != nil {
		file.Close()
		return nil, err
	}
	body := &hotBody{file: file, fd: fd, size: int64(len(b))}
	body.users.Store(1)
	return body, nil
}

// use adds a user. There must be one already.
func (b *hotBody) use() { b.users.Add(1) }

// release ends a use. A user that forgets it only keeps the memory until the garbage collector
// finds the body.
func (b *hotBody) release() {
	if b.users.Add(-1) == 0 {
		b.file.Close()
	}
}

// sendHeader sends the header of an answer whose body follows. The kernel waits with the last
// packet for the body.
func sendHeader(conn syscall.RawConn, header []byte) error {
	return writeRaw(conn, "sendmsg", func(fd int) (done bool, err error) {
		n, err := unix.SendmsgN(fd, header, nil, nil, unix.MSG_MORE)
		header = header[max(0, n):]
		return len(header) == 0, err
	})
}

// send sends the bytes from an offset up to an end, and returns how many it has sent.
func (b *hotBody) send(conn syscall.RawConn, from, to int64) (sent int64, err error) {
	offset := from
	err = writeRaw(conn, "sendfile", func(fd int) (done bool, err error) {
		n, err := unix.Sendfile(fd, b.fd, &offset, int(to-offset))
		if err == nil && n == 0 {
			err = unix.EINVAL // the file is shorter: never, as nobody else has it
		}
		return offset == to, err
	})
	return offset - from, err
}

// writeRaw calls write with the socket until it is done, whenever the socket takes bytes.
func writeRaw(conn syscall.RawConn, call string, write func(fd int) (done bool, err error)) error {
	var failed error
	err := conn.Write(func(fd uintptr) bool {
		for {
			done, err := write(int(fd))
			switch {
			case err == unix.EAGAIN:
				return false
			case err != nil && err != unix.EINTR:
				failed = &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError(call, err)}
				return true
			case err == nil && done:
				return true
			}
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// isRefused reports whether the system does not send files on disk, or not these, as net has it
// for its own sendfile.
func isRefused(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM)
}
