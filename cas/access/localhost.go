package access

import (
	"net"
	"net/netip"
	"strings"
)

// IsLocalHost reports whether a Host field can come from a program that was given a local
// address: it is an IP address or localhost, with or without a port.
//
// A service without authentication on a loopback address refuses other names. A web page
// can let the name of its own host resolve to 127.0.0.1 (DNS rebinding). The browser then
// takes the service for the page's own host, and lets the page read the answers. It can't
// do that with an IP address.
func IsLocalHost(field string) bool {
	name := field
	if host, _, err := net.SplitHostPort(field); err == nil {
		name = host
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"))
	return err == nil
}
