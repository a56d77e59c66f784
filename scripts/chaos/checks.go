package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// checkAll makes all checks at the end of a campaign.
func (c *campaign) checkAll(ctx context.Context, atStart usage) error {
	c.checkKept(ctx)
	for _, check := range []func(context.Context) error{c.waitSettled, c.checkBackfill, c.checkStore, c.checkFiles, c.checkCopies} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	if err := c.checkLeaks(ctx, atStart); err != nil {
		return err
	}
	c.checkGateways()
	return nil
}

// checkKept reads the blobs and files of all rounds once more: none may be lost, or come back.
func (c *campaign) checkKept(ctx context.Context) {
	reader := c.newClient(clientCount, &round{})
	defer reader.http.CloseIdleConnections()
	for i, k := range c.kept {
		g := c.gateways[i%gatewayCount]
		if got := c.conclusiveRead(ctx, g, k.subject, func() answer { return k.read(reader, g) }); got != "" && got != k.outcome {
			c.find(finding{"kept", fmt.Sprintf("it was %s after its round, and is %s at the end", k.outcome, got), k.subject})
		}
	}
	for _, f := range checkHistory(c.history) {
		c.find(f)
	}
}

// checkGateways looks for gateways that ended by themselves, and for panics.
func (c *campaign) checkGateways() {
	for _, g := range c.gateways {
		if n := g.unexpected.Load(); n > 0 {
			c.find(finding{promise: "serving", text: fmt.Sprintf("gateway %d ended by itself %d times; see %s", g.number, n, g.program.log)})
		}
		log, err := os.ReadFile(g.program.log)
		if err != nil {
			c.find(finding{promise: "campaign", text: err.Error()})
		}
		for line := range strings.Lines(string(log)) {
			if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE") || strings.Contains(line, "goroutine panic") {
				c.find(finding{promise: "serving", text: fmt.Sprintf("gateway %d: %s", g.number, strings.TrimSpace(line))})
			}
		}
	}
}

// set sets a figure of the report.
func (c *campaign) set(figure string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.figures[figure] = n
}

// find records a finding.
func (c *campaign) find(f finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.findings = append(c.findings, f)
}

func (c *campaign) findingCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.findings)
}

func (c *campaign) count(figure string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.figures[figure]++
}

func (c *campaign) figure(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.figures[name]
}

func (c *campaign) report(lasted time.Duration) *report {
	for name, n := range c.history.counts {
		c.figures[name] = n
	}
	for _, k := range c.kept {
		c.figures["left "+string(k.outcome)]++
	}
	return &report{seed: c.config.seed, lasted: lasted, findings: c.findings, figures: c.figures, history: c.history}
}
