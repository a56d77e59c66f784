package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/service"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// healthcheckCmd asks whether the gateway is ready, for containers without curl.
type healthcheckCmd struct {
	settings.Client

	Listen      string `name:"listen" env:"CAS_LISTEN" help:"The gateway's listen address. It is asked there if neither a URL nor a profile is given." placeholder:"HOST:PORT"`
	TLSCertFile string `name:"tls-cert-file" env:"CAS_TLS_CERT_FILE" help:"If the gateway has one, it is asked by HTTPS there." placeholder:"PATH"`
	JSON        bool   `name:"json" help:"Print a JSON object."`
}

// health is the JSON of a check.
type health struct {
	Ready bool              `json:"ready"`
	URL   string            `json:"url"` // or the address of the Unix socket
	Error *report.JSONError `json:"error,omitempty"`
}

// healthTimeout is longer than the gateway itself waits for its index and store.
const healthTimeout = 5 * time.Second

// Help returns the text that --help adds.
func (healthcheckCmd) Help() string {
	return `With the gateway's own settings, as in its container, it asks at the address where the gateway listens, also if that is a Unix socket. By HTTPS the certificate is not verified there: it has the gateway's public name, and nothing secret is sent. A URL or a profile that is given comes first, and its certificate is verified.`
}

// asksAtListen reports whether the gateway is asked where it listens.
func (c *healthcheckCmd) asksAtListen() bool {
	return c.URL == "" && c.Profile == "" && (c.Listen != "" || c.TLSCertFile != "")
}

// connect returns a client without a token, which asks once, and the URL or address where.
func (c *healthcheckCmd) connect() (gateway *client.Client, where string, err error) {
	o := client.Options{Retries: -1}
	if !c.asksAtListen() {
		if gateway, err = c.ConnectWithout(o); err == nil {
			where = gateway.BaseURL()
		}
		return gateway, where, err
	}
	scheme, address := "http", cmp.Or(c.Listen, "127.0.0.1:8080")
	if c.TLSCertFile != "" {
		scheme = "https"
	}
	if _, port, err := net.SplitHostPort(address); err == nil && port == "0" {
		chosen, err := os.ReadFile(c.Path(settings.ListenFile))
		if err != nil {
			return nil, "", exit.Usagef("CAS_LISTEN leaves the port open, and the gateway has not written it to the data folder: %w", err)
		}
		address = strings.TrimSpace(string(chosen))
	}
	o.HTTPClient = &http.Client{Transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return service.Dial(ctx, address) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // see Help
	}}
	where = service.LocalURL(scheme, address)
	gateway, err = settings.ClientOf(where, o)
	if service.IsUnix(address) {
		where = address // the URL does not name the socket
	}
	return gateway, where, err
}

// explain names the setting to correct if the gateway speaks another scheme where it listens.
func (c *healthcheckCmd) explain(err error, where string) error {
	switch {
	case !c.asksAtListen() || !errors.Is(err, client.ErrWrongScheme):
		return err
	case c.TLSCertFile == "":
		return fmt.Errorf("the gateway at %s speaks HTTPS; set CAS_TLS_CERT_FILE (or --tls-cert-file) as for the gateway", where)
	}
	return fmt.Errorf("the gateway at %s speaks plain HTTP; leave CAS_TLS_CERT_FILE (or --tls-cert-file) out, as for the gateway", where)
}

// Run prints nothing if the gateway is ready, but with --json.
func (c *healthcheckCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, where, err := c.connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	limited, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	err = c.explain(gateway.Ready(limited), where)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.JSON {
		if err := terminal.PrintJSON(std.Out, health{Ready: err == nil, URL: where, Error: report.NewJSONError(err)}); err != nil {
			return err
		}
	}
	return exit.With(exit.Unavailable, err)
}
