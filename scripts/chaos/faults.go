package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// breakThings makes the faults of a schedule while the clients are working. It returns when
// all of them are over, and what was broken runs again, for which ctx must still be valid.
func (c *campaign) breakThings(ctx, working context.Context, faults []fault) {
	var running sync.WaitGroup
	defer running.Wait()
	begin := time.Now()
	for _, f := range faults {
		select {
		case <-working.Done():
			return
		case <-time.After(f.at - time.Since(begin)):
		}
		c.count(string(f.kind))
		running.Go(func() { c.make(ctx, working, f) })
	}
}

// isImpossible reports whether this machine has no means for a fault.
func (c *campaign) isImpossible(f fault) bool {
	switch f.kind {
	case stepForward, stepBack:
		return c.clock.library == ""
	case fillDisk:
		return !c.canMount
	case fillPostgres:
		return c.postgres.disk == nil
	case fillMinIO:
		return c.minio.disk == nil
	}
	return false
}

// make makes one fault, and ends it.
func (c *campaign) make(ctx, working context.Context, f fault) {
	lasting := func() {
		select {
		case <-working.Done():
		case <-time.After(f.lasts):
		}
	}
	if err := c.makeUntil(ctx, f, lasting); err != nil && ctx.Err() == nil {
		c.find(finding{promise: "campaign", text: fmt.Sprintf("%v: %v", f, err)})
	}
}

// makeUntil makes a fault, and ends it when lasting has returned.
func (c *campaign) makeUntil(ctx context.Context, f fault, lasting func()) error {
	switch f.kind {
	case killGateway:
		c.gateways[f.target].kill()
	case killBackfill:
		c.backfill.kill()
	case stopGateway:
		c.gateways[f.target].pause(lasting)
	case killPostgres:
		return c.postgres.restart(ctx, lasting)
	case stopPostgres:
		c.postgres.pause(lasting)
	case killMinIO:
		return c.minio.restart(ctx, lasting)
	case stopMinIO:
		c.minio.pause(lasting)
	case stepForward:
		return c.clock.step(clockStep, lasting)
	case stepBack:
		return c.clock.step(-clockStep, lasting)
	case fillDisk:
		return c.gateways[f.target].fillDisk(lasting)
	case fillPostgres:
		return c.postgres.fillDisk(ctx, lasting)
	case fillMinIO:
		return c.minio.fillDisk(ctx, lasting)
	case spoilProvider:
		return c.spoilProvider(f, lasting)
	case loseReplies:
		c.loseReplies(f, lasting)
	default:
		return c.spoilLink(f, lasting)
	}
	return nil
}

// spoilLink makes a fault of the network. A link has one at a time; a second one is left
// out.
func (c *campaign) spoilLink(f fault, lasting func()) error {
	l := c.links[f.target]
	if !l.spoiled.TryLock() {
		return nil
	}
	defer l.spoiled.Unlock()
	switch f.kind {
	case cutLink:
		return l.cut(lasting)
	case slowLink:
		return l.slow(lasting)
	case loseRequests:
		return l.halfOpen("upstream", lasting)
	case loseAnswers:
		return l.halfOpen("downstream", lasting)
	}
	return fmt.Errorf("nothing makes a %s", f.kind)
}

// pause stops the present process for a while.
func (g *gateway) pause(lasting func()) {
	g.mu.Lock()
	p := g.process
	g.mu.Unlock()
	if p != nil {
		p.pause(lasting)
	}
}
