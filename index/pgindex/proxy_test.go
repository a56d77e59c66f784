package pgindex_test

import (
	"crypto/rand"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"casgate/cas"
	"casgate/index/pgindex"
	"casgate/migrations"
)

// proxy is in front of a server, and can misbehave on request.
type proxy struct {
	t      testing.TB
	server string
	mu     sync.Mutex
	mode   string // "" (serve), "silent" or "refuse"
	conns  []net.Conn
	wg     sync.WaitGroup
}

// throughProxy returns the database's URL by way of a proxy.
func throughProxy(t testing.TB, database string) (string, *proxy) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, server: u.Host}
	p.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.handle(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.refuse()
		p.wg.Wait()
	})
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Del("connect_timeout") // the index's own, which ends attempts at a silent proxy
	u.RawQuery = query.Encode()
	return u.String(), p
}

// set changes how the proxy behaves from now on, and drops its connections where
// drop is true.
func (p *proxy) set(mode string, drop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode
	if drop {
		for _, conn := range p.conns {
			conn.Close()
		}
		p.conns = nil
	}
}

// silence makes the proxy drop all bytes, on old and new connections, until the
// connections are closed.
func (p *proxy) silence() { p.set("silent", false) }

// refuse drops all connections, new ones too.
func (p *proxy) refuse() { p.set("refuse", true) }

// serve drops all connections and serves new ones.
func (p *proxy) serve() { p.set("", true) }

// handle serves one connection.
func (p *proxy) handle(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		p.t.Errorf("proxy: %v", err)
		return
	}
	defer server.Close()
	p.mu.Lock()
	refuse := p.mode == "refuse"
	if !refuse {
		p.conns = append(p.conns, client, server)
	}
	p.mu.Unlock()
	if refuse {
		return
	}
	p.wg.Go(func() {
		defer client.Close()
		io.Copy(gate{p, client}, server)
	})
	io.Copy(gate{p, server}, client)
}

// gate passes on all writes, unless the proxy is silent.
type gate struct {
	p  *proxy
	to io.Writer
}

// Write implements io.Writer.
func (g gate) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	silent := g.p.mode == "silent"
	g.p.mu.Unlock()
	if silent {
		return len(b), nil
	}
	return g.to.Write(b)
}

// randomDigest makes one up.
func randomDigest() (d cas.Digest) {
	rand.Read(d[:])
	return d
}

// checkTooNew fails the test unless the index refuses a database that a newer
// program migrated to version 9999.
func checkTooNew(t *testing.T, x *pgindex.Index) {
	t.Helper()
	for what, err := range map[string]error{"CheckSchema": x.CheckSchema(t.Context()), "Migrate": x.Migrate(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "newer casgate") || !strings.Contains(err.Error(), "9999") {
			t.Errorf("%s: %v", what, err)
		}
	}
	list, err := x.MigrationStatus(t.Context())
	if err != nil || len(list) == 0 {
		t.Fatalf("%d migrations, error %v", len(list), err)
	}
	if last := list[len(list)-1]; last.Version != 9999 || !last.Applied || last.Name != "" || list[0] == (migrations.Status{}) {
		t.Errorf("the last migration is %+v", last)
	}
}
