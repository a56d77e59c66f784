// Package service has the parts that the gateway shares with other network services:
// listeners, logs, metrics and profiles.
package service

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"casgate/cmd/cas/internal/exit"
)

// unixPrefix begins an address that is the path of a Unix socket.
const unixPrefix = "unix:"

// Listen opens a TCP address, or a Unix socket for an address such as unix:/run/cas.sock.
// The name of the setting that has the address is part of the error.
func Listen(address, setting string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, unixPrefix)
	var ln net.Listener
	var err error
	if isUnix {
		ln, err = listenUnix(path)
	} else {
		ln, err = net.Listen("tcp", address)
	}
	if err != nil {
		return nil, exit.Usagef("can't listen on %q, set by %s: %w", address, setting, err)
	}
	return ln, nil
}

// Dial connects to an address that Listen takes.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	if path, isUnix := strings.CutPrefix(address, unixPrefix); isUnix {
		return d.DialContext(ctx, "unix", path)
	}
	return d.DialContext(ctx, "tcp", address)
}

// IsUnix reports whether an address that Listen takes is that of a Unix socket.
func IsUnix(address string) bool { return strings.HasPrefix(address, unixPrefix) }

// socketMode lets the owner and the group of a Unix socket connect, such as a proxy.
const socketMode = 0o660

// listenUnix opens a Unix socket. It replaces one that a killed process left.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
			return nil, fmt.Errorf("another process listens there: %w", syscall.EADDRINUSE)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// IsLoopback reports whether only this machine can reach an address.
func IsLoopback(addr net.Addr) bool {
	if _, isUnix := addr.(*net.UnixAddr); isUnix {
		return true
	}
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// URLOf returns the URL of a listen address, with the scheme http or https. If the service
// listens on all addresses, the URL is the one to use on this machine.
func URLOf(scheme string, addr net.Addr) string {
	if _, isUnix := addr.(*net.UnixAddr); isUnix {
		return scheme + "://localhost" // by a proxy; set CAS_PUBLIC_URL
	}
	return LocalURL(scheme, addr.String())
}

// LocalURL is URLOf for an address that Listen takes. A client of a Unix socket must dial it
// with Dial.
func LocalURL(scheme, address string) string {
	if IsUnix(address) {
		return scheme + "://localhost"
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return scheme + "://" + address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// UntilDone drops the error of a service that ended because ctx is done.
func UntilDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
