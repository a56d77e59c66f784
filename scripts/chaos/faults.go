package main

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// breakThings makes the faults of a schedule. It returns when all of them are over.
func (c *campaign) breakThings(ctx context.Context, faults []fault) {
	var running sync.WaitGroup
	defer running.Wait()
	begin := time.Now()
	for _, f := range faults {
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.at - time.Since(begin)):
		}
		c.count(string(f.kind))
		running.Go(func() { c.make(ctx, f) })
	}
}

// make makes one fault, and ends it.
func (c *campaign) make(ctx context.Context, f fault) {
	lasting := func() {
		select {
		case <-ctx.Done():
		case <-time.After(f.lasts):
		}
	}
	switch f.kind {
	case killGateway:
		c.gateways[f.target].kill()
	case stopGateway:
		c.gateways[f.target].pause(lasting)
	}
}

// pause stops the present process for a while.
func (g *gateway) pause(lasting func()) {
	g.mu.Lock()
	p := g.process
	g.mu.Unlock()
	if p == nil {
		return
	}
	p.signal(syscall.SIGSTOP)
	lasting()
	p.signal(syscall.SIGCONT)
}
