// Package service has the parts that the gateway shares with other network services:
// listeners, logs, metrics and profiles.
package service

import (
	"context"
	"net"

	"casgate/cmd/cas/internal/exit"
)

// Listen opens a TCP address. The name of the setting that has the address is part of
// the error.
func Listen(address, setting string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, exit.Usagef("can't listen on %q, set by %s: %w", address, setting, err)
	}
	return ln, nil
}

// IsLoopback reports whether only this machine can reach an address.
func IsLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// URLOf returns the URL of a listen address. If the service listens on all addresses,
// the URL is the one to use on this machine.
func URLOf(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// UntilDone drops the error of a service that ended because ctx is done.
func UntilDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
