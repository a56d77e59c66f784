package pgindex

import (
	"errors"
	"strings"
	"testing"
	"time"

	"casgate/cas"
)

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	const base = "postgres://user:s3cr3t@db.example/casgate"
	for _, c := range []struct {
		url         string
		conns       int32
		timeout     time.Duration
		application string
	}{
		{base, 16, 3 * time.Second, "casgate"},
		{base + "?pool_max_conns=3&connect_timeout=7&application_name=other", 3, 7 * time.Second, "other"},
	} {
		config, err := poolConfig(c.url)
		if err != nil {
			t.Fatal(err)
		}
		application := config.ConnConfig.RuntimeParams["application_name"]
		if config.MaxConns != c.conns || config.ConnConfig.ConnectTimeout != c.timeout || application != c.application {
			t.Errorf("%s: %d connections, %v to connect, as %q; want %d, %v, %q",
				c.url, config.MaxConns, config.ConnConfig.ConnectTimeout, application, c.conns, c.timeout, c.application)
		}
		if config.ConnConfig.Password != "s3cr3t" {
			t.Error("the password was lost")
		}
	}
}

// Of several hosts that one is used that takes writes, unless the URL says otherwise.
func TestConfigOfSeveralHosts(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"postgres://user@one/db":                                 false,
		"postgres://user@one,two/db":                             true,
		"postgres://user@one,two:7/db?target_session_attrs=any":  false,
		"postgres://user@one/db?target_session_attrs=read-write": true,
	} {
		config, err := poolConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.ConnConfig.ValidateConnect != nil; got != want {
			t.Errorf("%s: connections are validated: %t, want %t", url, got, want)
		}
	}
}

func TestErrorsKeepThePassword(t *testing.T) {
	t.Parallel()
	const good = "postgres://user:s3cr3t@127.0.0.1:1/db"
	for _, c := range []struct {
		name        string
		options     Options
		unavailable bool
		says        string
	}{
		{"no server there", Options{URL: good}, true, "127.0.0.1:1"},
		{"bad escape", Options{URL: "postgres://user:s3cr3t%zz@host/db"}, false, "percent-encoded"},
		{"slash", Options{URL: "postgres://user:s3cr3t/x@host/db"}, false, "percent-encoded"},
		{"hash", Options{URL: "postgres://user:12#s3cr3t@host/db"}, false, "percent-encoded"},
		{"question mark", Options{URL: "postgres://user:12?s3cr3t@host/db"}, false, "percent-encoded"},
		{"at sign and question mark", Options{URL: "postgres://user:a@b?s3cr3t@host/db&pool_max_conns=many"}, false, "percent-encoded"},
		{"at sign", Options{URL: "postgres://user:s3cr3t@x@host:port/db"}, false, "percent-encoded"},
		{"space", Options{URL: "postgres://user:s3cr3t x@host/db"}, false, "percent-encoded"},
		{"port out of range", Options{URL: "postgres://user:s3cr3t@host:99999999/db"}, false, "port"},
		{"bad setting", Options{URL: good + "?pool_max_conns=many"}, false, "pool_max_conns"},
		{"bad setting and password in the query", Options{URL: "postgres://host/db?password=s3cr3t&sslmode=odd"}, false, "sslmode"},
		{"missing certificate with a passphrase", Options{URL: good + "?sslmode=verify-ca&sslrootcert=/nowhere&sslpassword=s3cr3t"}, false, "/nowhere"},
		{"other database", Options{URL: "mysql://user:s3cr3t@host/db"}, false, "postgres://"},
		{"key and value", Options{URL: "host=host password=s3cr3t"}, false, "postgres://"},
		{"only a password", Options{URL: "s3cr3t"}, false, "postgres://"},
		{"nothing", Options{}, false, "postgres://"},
		{"for listening", Options{URL: good, ListenURL: "postgres://user:s3cr3t%zz@host/db"}, false, "listening"},
	} {
		x, err := Open(t.Context(), c.options)
		if err == nil {
			x.Close()
			t.Errorf("%s: no error", c.name)
			continue
		}
		if errors.Is(err, ErrURL) == c.unavailable {
			t.Errorf("%s: error %v; want ErrURL %v", c.name, err, !c.unavailable)
		}
		if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the error has the password in it: %v", c.name, err)
		}
		if c.unavailable != errors.Is(err, cas.ErrIndexUnavailable) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v; want one about %q, ErrIndexUnavailable %v", c.name, err, c.says, c.unavailable)
		}
	}
}
