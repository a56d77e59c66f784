package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"casgate/cas"
)

// oldFileCount is how many files are imported before the first round. A backfill stores
// their bytes while faults are made.
const oldFileCount = 150

// backfill is a `cas backfill` that is killed, and started again until it is done.
type backfill struct {
	folder  string
	digests map[string]cas.Digest // by the name of the file
	program program

	mu      sync.Mutex
	process *process
}

// newBackfill makes a folder of old files.
func newBackfill(seed uint64, dir string) (*backfill, error) {
	b := &backfill{folder: filepath.Join(dir, "old-files"), digests: map[string]cas.Digest{}}
	if err := os.Mkdir(b.folder, 0o700); err != nil {
		return nil, err
	}
	for i := range oldFileCount {
		name := fmt.Sprintf("old-%04d.txt", i)
		content := []byte(strings.Repeat(fmt.Sprintf("old file %d of campaign %d\n", i, seed), 1+i*7%500))
		if err := os.WriteFile(filepath.Join(b.folder, name), content, 0o600); err != nil {
			return nil, err
		}
		b.digests[name] = cas.DigestOf(content)
	}
	return b, nil
}

// prepareBackfill imports the old files, and prepares the backfill over the first
// gateway's links.
func (c *campaign) prepareBackfill(ctx context.Context) error {
	if _, err := c.command(ctx, "import", "--from-folder", "--json"); err != nil {
		return err
	}
	for name := range c.backfill.digests {
		c.named(name)
	}
	data := filepath.Join(c.config.dir, "backfill")
	rate := 1.5 * oldFileCount / c.config.time.Seconds()
	c.backfill.program = program{
		path: c.config.gateway, dir: c.config.dir, log: data + ".log",
		args: []string{"cas", "backfill", "--retry-failed", "--concurrency=2", fmt.Sprintf("--rate=%.2f", rate), "--json"},
		env:  gatewayEnvironment(append(append(serverSettings(c.links[1].port, c.links[2].port, c.links[0].port), "CAS_DATA_DIR="+data), c.settings...)),
	}
	return nil
}

// keepRunning starts the backfill again whenever it has ended, until it is done or ctx is.
func (b *backfill) keepRunning(ctx context.Context) error {
	for {
		p, err := b.program.start()
		if err != nil {
			return err
		}
		b.mu.Lock()
		b.process = p
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			p.kill()
			return nil
		case <-p.ended:
		}
		if p.cmd.ProcessState.ExitCode() == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartDelay):
		}
	}
}

// kill kills the present process.
func (b *backfill) kill() {
	b.mu.Lock()
	p := b.process
	b.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

// checkBackfill lets a backfill do what is left, and reads all old files.
func (c *campaign) checkBackfill(ctx context.Context) error {
	if _, err := c.command(ctx, "backfill", "--retry-failed", "--json"); err != nil {
		return err
	}
	type row struct {
		ID     string
		Name   string
		Digest []byte
	}
	rows, err := query[row](ctx, c, "select id, name, digest from files where name like 'old-%'")
	if err != nil {
		return err
	}
	if len(rows) != oldFileCount {
		c.find(finding{promise: "backfill", text: fmt.Sprintf("there are %d imported files of %d", len(rows), oldFileCount)})
	}
	for i, r := range rows {
		want := c.backfill.digests[r.Name]
		if string(r.Digest) != string(want[:]) {
			c.find(finding{promise: "backfill", text: fmt.Sprintf("%s has digest %x, and should have %v", r.Name, r.Digest, want)})
			continue
		}
		text, err := fetch(ctx, c.gateways[i%gatewayCount].url+"/v1/files/"+r.ID+"/content")
		if err == nil && cas.DigestOf([]byte(text)) != want {
			err = errors.New("wrong bytes")
		}
		if err != nil {
			c.find(finding{promise: "backfill", text: fmt.Sprintf("%s: %v", r.Name, err)})
		}
	}
	return nil
}
