package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"casgate/cmd/cas/internal/service"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/wiring"
	"casgate/gateway/api"
)

// checkCertificate checks that clients take the TLS certificate today. It reports no fault of
// its files: the try of a start does.
func (c *doctorCmd) checkCertificate(e *examination) {
	if c.TLSCertFile == "" || c.TLSKeyFile == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
	if err != nil {
		return
	}
	const subject = "certificate"
	renew := "renew it, and write it to " + c.TLSCertFile + " and " + c.TLSKeyFile + "; a running gateway takes it up by itself"
	now := time.Now()
	switch err := service.CheckValidity(pair.Leaf, now); {
	case errors.Is(err, service.ErrCertificateExpired):
		e.fail(subject, err, renew)
	case err != nil && now.Before(pair.Leaf.NotBefore):
		e.warn(subject, err.Error(), "wait until then, set this machine's clock by NTP if it is wrong, or use another certificate")
	case err != nil:
		e.warn(subject, err.Error(), renew)
	default:
		e.ok(subject, "valid until %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
}

// listener says who listens at an address.
type listener int

const (
	stranger     listener = iota // no gateway
	otherGateway                 // a gateway of another index
	someGateway                  // a gateway, and it can't be told of which index
	ownGateway
)

// checkAddresses tries to listen where a gateway does.
func (c *doctorCmd) checkAddresses(ctx context.Context, e *examination) {
	c.checkPublicURL(e)
	listen := c.Listen
	c.checkAddress(ctx, e, &c.Listen, "CAS_LISTEN")
	if c.Listen == listen { // nobody uses it
		c.checkLock(e)
	}
	c.checkAddress(ctx, e, &c.AdminListen, "CAS_ADMIN_LISTEN")
}

// checkPublicURL warns if the URLs that a gateway tells work on this machine only, though it
// listens on all addresses.
func (c *doctorCmd) checkPublicURL(e *examination) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil || c.PublicURL != "" { // an error: checkAddress reports it, or it is a Unix socket
		return
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		e.warn("public URL", c.Listen+" (CAS_LISTEN) is all addresses, so the gateway's URLs name localhost, which other machines can't use", "set CAS_PUBLIC_URL to a URL of the gateway that works from outside")
	}
}

// checkLock warns of a gateway that uses the data folder and listens at another address: a
// gateway with these settings can't start beside it.
func (c *doctorCmd) checkLock(e *examination) {
	if !c.Index.Embedded() {
		return
	}
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port == "0" {
		return // the other may have these settings, too
	}
	listen, err := os.ReadFile(c.Path(settings.ListenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return // a gateway that stopped has removed it
	}
	isLocked := false
	if err == nil {
		isLocked, err = wiring.IsDataLocked(c.Data)
	}
	switch {
	case err != nil:
		e.fail("data folder", err, "give "+userName()+" the right to read it")
	case isLocked:
		e.warn("data folder", fmt.Sprintf("another gateway uses %s, and listens at %s", c.DataDir, strings.TrimSpace(string(listen))),
			"stop it before one with these settings starts, or set CAS_DATA_DIR to another folder")
	}
}

// checkAddress tries to listen on an address. If a gateway of the same index uses it, that is
// no fault, and another port is used for the rest.
func (c *doctorCmd) checkAddress(ctx context.Context, e *examination, address *string, setting string) {
	if *address == "" {
		return
	}
	const subject = "address"
	ln, err := service.Listen(*address, setting)
	if err == nil {
		ln.Close()
		return
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		e.fail(subject, err, addressRemedy(err, setting))
		return
	}
	remedy := "stop the program that uses it, or set " + setting + " to another address"
	switch who := c.whoListens(ctx, *address, setting); who {
	case ownGateway:
		e.ok(subject, "%s (%s) is in use by the gateway that runs", *address, setting)
	case someGateway:
		e.warn(subject, fmt.Sprintf("%s (%s) is in use by a gateway, and it can't be told if that is one of this index", *address, setting), "if it is not, set "+setting+" to another address")
	case otherGateway:
		e.fail(subject, fmt.Errorf("%w: by a gateway of another index", err), remedy)
	default:
		e.fail(subject, fmt.Errorf("%w: by a program that is no gateway", err), remedy)
	}
	host, _, err := net.SplitHostPort(*address)
	if err != nil { // a Unix socket
		host = "127.0.0.1"
	}
	*address = net.JoinHostPort(host, "0")
}

// addressRemedy returns what to do about an address that is not in use.
func addressRemedy(err error, setting string) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "give " + userName() + " the right to listen there, or set " + setting + " to another address; a port below 1024 needs a right"
	case errors.Is(err, fs.ErrNotExist):
		return "make the folder of the socket, or set " + setting + " to a path in another one"
	}
	return "set " + setting + " to an address of this machine, such as 127.0.0.1:8080"
}

// whoListens asks the program that uses an address which index it has.
func (c *doctorCmd) whoListens(ctx context.Context, address, setting string) listener {
	ctx, cancel := context.WithTimeout(ctx, addressTimeout)
	defer cancel()
	ask, scheme := askAPI, "http"
	switch {
	case setting == "CAS_ADMIN_LISTEN":
		ask = askAdmin
	case c.TLSCertFile != "":
		scheme = "https"
	}
	isGateway, theirs := ask(ctx, address, scheme)
	if !isGateway {
		return stranger
	}
	isLocked := false
	if c.Index.Embedded() { // only a gateway of this data folder has its lock
		var err error
		if isLocked, err = wiring.IsDataLocked(c.Data); err != nil {
			return someGateway
		}
		if !isLocked {
			return otherGateway
		}
	}
	own := c.installation(ctx)
	switch {
	case own != "" && own == theirs:
		return ownGateway
	case own != "" && theirs != "":
		return otherGateway
	}
	return someGateway // it has an older version, or the index doesn't answer
}

// installation returns the name of the index that its gateways tell, or "" if the index
// can't be read.
func (c *doctorCmd) installation(ctx context.Context) string {
	x, err := c.openIndex(ctx)
	if err != nil {
		return ""
	}
	defer x.Close()
	mark, err := x.Mark(ctx)
	if err != nil {
		return ""
	}
	return mark.Hash()
}

const (
	// addressTimeout bounds the question who listens on an address.
	addressTimeout = 5 * time.Second
	// maxAnswer is more than /readyz and the metrics have.
	maxAnswer = 16 << 20
)

// askAPI asks for /readyz. It reports whether a gateway answers, and its installation.
func askAPI(ctx context.Context, address, scheme string) (isGateway bool, installation string) {
	var health api.Health
	body, err := get(ctx, address, scheme+"://localhost/readyz")
	if err != nil || json.Unmarshal(body, &health) != nil {
		return false, ""
	}
	_, hasIndex := health.Checks["index"]
	_, hasStore := health.Checks["store"]
	return hasIndex && hasStore, health.Installation
}

// askAdmin is askAPI for the address of metrics.
func askAdmin(ctx context.Context, address, scheme string) (isGateway bool, installation string) {
	body, err := get(ctx, address, scheme+"://localhost/metrics")
	if err != nil {
		return false, ""
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, wiring.InstallationMetric+`{installation="`); ok {
			installation, _, _ = strings.Cut(rest, `"`)
		}
		isGateway = isGateway || strings.HasPrefix(line, service.BuildMetric+"{")
	}
	return isGateway, installation
}

// get reads a URL at an address to listen on, whatever host the URL names.
func get(ctx context.Context, address, url string) ([]byte, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return service.Dial(ctx, address)
		},
		// The certificate is for the public name, and what is read is no secret.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
}
