package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a gateway holds while it has nothing to do.
type usage struct {
	goroutines int
	heap       int // bytes in use after a collection of garbage
	scrubbed   int // blobs since its start
}

// The last gateway is never killed. What it may hold more than at its start, when it is idle
// again: connections that wait for the next request, caches, and metrics.
const (
	goroutineSlack = 60
	heapSlack      = 48 << 20
)

// survivor is the gateway that is never killed.
func (c *campaign) survivor() *gateway { return c.gateways[gatewayCount-1] }

// checkLeaks compares the usage of the survivor with that at its start. Idle connections
// end after a while, so it looks until the usage is low enough.
func (c *campaign) checkLeaks(ctx context.Context, atStart usage) error {
	var now usage
	for deadline := time.Now().Add(settleLimit); ; {
		var err error
		if now, err = c.usage(ctx); err != nil {
			return err
		}
		if now.goroutines <= atStart.goroutines+goroutineSlack || time.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	c.set("scrubbed by the last gateway", now.scrubbed)
	c.set("goroutines at the start", atStart.goroutines)
	c.set("goroutines at the end", now.goroutines)
	c.set("heap at the start, KiB", atStart.heap>>10)
	c.set("heap at the end, KiB", now.heap>>10)
	if now.goroutines > atStart.goroutines+goroutineSlack {
		c.find(finding{promise: "no leaked goroutines", text: fmt.Sprintf("%d, and %d at the start; see %s", now.goroutines, atStart.goroutines, c.saveProfile(ctx))})
	}
	if now.heap > atStart.heap+heapSlack {
		c.find(finding{promise: "flat memory", text: fmt.Sprintf("%d MiB in use, and %d at the start", now.heap>>20, atStart.heap>>20)})
	}
	return nil
}

// usage asks the survivor for its usage.
func (c *campaign) usage(ctx context.Context) (u usage, err error) {
	admin := c.survivor().admin
	if _, err := fetch(ctx, admin+"/debug/pprof/heap?gc=1"); err != nil {
		return u, err
	}
	metrics, err := fetch(ctx, admin+"/metrics")
	if err != nil {
		return u, err
	}
	lines := bufio.NewScanner(strings.NewReader(metrics))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case name == "go_goroutines":
			u.goroutines = int(n)
		case name == "go_memstats_heap_alloc_bytes":
			u.heap = int(n)
		case name == "casgate_scrub_blobs_total":
			u.scrubbed = int(n)
		}
	}
	if u.goroutines == 0 || u.heap == 0 {
		return u, fmt.Errorf("%s/metrics has neither goroutines nor heap", admin)
	}
	return u, lines.Err()
}

// saveProfile saves the stacks of the survivor's goroutines, and returns the path.
func (c *campaign) saveProfile(ctx context.Context) string {
	name := filepath.Join(c.config.dir, "goroutines.txt")
	stacks, err := fetch(ctx, c.survivor().admin+"/debug/pprof/goroutine?debug=1")
	if err == nil {
		err = os.WriteFile(name, []byte(stacks), 0o644)
	}
	if err != nil {
		return err.Error()
	}
	return name
}

// fetch returns what a GET brings.
func fetch(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := probing.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered %d", url, response.StatusCode)
	}
	return string(b), err
}
