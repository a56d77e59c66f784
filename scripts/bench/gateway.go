package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"casgate/cas"
)

// gateway is a running gateway: a child process with its default settings, whose
// log, access log included, goes to a file.
type gateway struct {
	*process
	address string
	admin   string // for metrics and profiles
	token   string
	data    string        // its data folder
	started time.Duration // from exec to the first answer
}

// startGateway starts a gateway on a data folder, with the settings given, and
// waits for its first answer. The token is to be filled in by the caller.
func (l *lab) startGateway(ctx context.Context, data string, settings []string) (*gateway, error) {
	return onFreeAddress(func(address string) (*gateway, error) {
		admin, err := freeAddress()
		if err != nil {
			return nil, err
		}
		env := cleanEnvironment(append([]string{"CAS_DATA_DIR=" + data, "CAS_LISTEN=" + address, "CAS_ADMIN_LISTEN=" + admin}, settings...)...)
		begin := time.Now()
		p, err := startProcess("gateway", l.dir, env, nil, l.binary, "serve")
		if err != nil {
			return nil, err
		}
		g := &gateway{process: p, address: address, admin: admin, data: data}
		if err := p.until(ctx, func(ctx context.Context) error { return answers(ctx, address, "/healthz") }); err != nil {
			p.stop()
			return nil, err
		}
		g.started = time.Since(begin)
		return g, nil
	})
}

// startEmbedded starts a gateway with SQLite and a folder, and further settings. An
// empty data means a new folder.
func (l *lab) startEmbedded(ctx context.Context, data string, settings ...string) (*gateway, error) {
	if data == "" {
		var err error
		if data, err = os.MkdirTemp(l.dir, "data-"); err != nil {
			return nil, err
		}
	}
	g, err := l.startGateway(ctx, data, settings)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(data, "admin-token"))
	if err != nil {
		g.stop()
		return nil, err
	}
	g.token = strings.TrimSpace(string(token))
	return g, nil
}

// startServed starts a gateway on the lab's database and bucket, with further
// settings.
func (l *lab) startServed(ctx context.Context, settings ...string) (*gateway, error) {
	s, err := l.services(ctx)
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(l.dir, "data-")
	if err != nil {
		return nil, err
	}
	g, err := l.startGateway(ctx, data, append(s.settings(), settings...))
	if err != nil {
		return nil, err
	}
	g.token = s.token
	return g, nil
}

// read is the GET of a blob.
func (g *gateway) read(c *content) call {
	return call{request: get(g.address, blobPath(c.digest()), g.authorization()), status: http.StatusOK, answer: c}
}

// put returns the PUT of a blob whose digest the client knows; status is that of an
// answer for a new or for an existing blob.
func (g *gateway) put(c *content, status int) call {
	return call{
		request: render("PUT", g.address, blobPath(c.digest()), g.authorization(), fmt.Sprintf("Content-Length: %d", c.size)),
		body:    c,
		status:  status,
	}
}

// post returns the POST of a new blob without its digest.
func (g *gateway) post(c *content) call {
	return call{
		request: render("POST", g.address, "/v1/blobs", g.authorization(), fmt.Sprintf("Content-Length: %d", c.size)),
		body:    c,
		status:  http.StatusCreated,
	}
}

func (g *gateway) authorization() string { return "Authorization: Bearer " + g.token }

func blobPath(d cas.Digest) string { return "/v1/blobs/" + d.String() }

// do makes calls one after another over one connection, comparing all answers.
func (g *gateway) do(ctx context.Context, calls ...call) error {
	c, err := dial(ctx, g.address)
	if err != nil {
		return err
	}
	defer c.close()
	for _, call := range calls {
		if err := c.do(call, true); err != nil {
			return err
		}
	}
	return nil
}

// store makes contents and uploads them.
func (g *gateway) store(ctx context.Context, n int, size int64) ([]*content, error) {
	var contents []*content
	var calls []call
	for range n {
		c := newContent(size)
		contents = append(contents, c)
		calls = append(calls, g.put(c, http.StatusCreated))
	}
	return contents, g.do(ctx, calls...)
}

// profile writes a CPU profile of the gateway to a file while work is called
// again and again.
func (g *gateway) profile(ctx context.Context, path string, duration time.Duration, work func() error) error {
	seconds := max(1, int(duration.Seconds()))
	fetched := make(chan error, 1)
	go func() {
		fetched <- fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", g.admin, seconds), path)
	}()
	for {
		if err := work(); err != nil {
			return err
		}
		select {
		case err := <-fetched:
			return err
		default:
		}
	}
}

// fetch saves the answer of a URL.
func fetch(ctx context.Context, url, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, response.Body); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
