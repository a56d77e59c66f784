package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"casgate/cas"
	"casgate/cas/importer"
)

// startTime limits the start of a gateway.
const startTime = 30 * time.Second

// gateway is a running `cas serve`.
type gateway struct {
	url     string
	command *exec.Cmd
	log     bytes.Buffer
	ended   chan struct{}
}

// serve starts a gateway. The caller must stop it.
func (p *place) serve(ctx context.Context) (*gateway, error) {
	g := &gateway{command: exec.Command(p.program(), "serve"), ended: make(chan struct{})}
	g.command.Env = p.environment("CAS_LISTEN=127.0.0.1:0", "CAS_ADMIN_LISTEN=", "CAS_AUTH=none")
	g.command.Stderr = &g.log
	if err := g.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = g.command.Wait() // its log says more
		close(g.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if address, err := os.ReadFile(filepath.Join(p.dir, "data", "listen")); err == nil {
			g.url = "http://" + strings.TrimSpace(string(address))
			if _, err := g.get(ctx, "/readyz"); err == nil {
				return g, nil
			}
		}
		select {
		case <-poll.C:
		case <-g.ended:
			return nil, fmt.Errorf("the gateway ended:\n%s", &g.log)
		case <-ctx.Done():
			g.stop()
			return nil, fmt.Errorf("the gateway does not serve:\n%s", &g.log)
		}
	}
}

// stop ends the gateway and waits for its end.
func (g *gateway) stop() {
	_ = g.command.Process.Signal(syscall.SIGTERM) // it may have ended already
	<-g.ended
}

func (g *gateway) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return body, err
}

// read reads some of the files, each by the id that follows from its row's.
func (g *gateway) read(ctx context.Context, files map[string]cas.Digest, most int) (reads int, err error) {
	for id, want := range files {
		if reads == most {
			break
		}
		body, err := g.get(ctx, "/v1/files/"+importer.FileID("", id)+"/content")
		if err != nil {
			return reads, fmt.Errorf("read the file of row %s: %w", id, err)
		}
		if got := cas.DigestOf(body); got != want {
			return reads, fmt.Errorf("the file of row %s has %s, want %s", id, got, want)
		}
		reads++
	}
	return reads, nil
}
