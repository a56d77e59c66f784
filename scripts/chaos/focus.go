package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// focus narrows a campaign to the requests and faults that meet one step of a protocol. Its
// rounds end after a number of answers, however long they take.
type focus struct {
	promises []string // the campaign ends when one of these is found broken
	requests []request
	faults   []habit
	answers  int           // of a round; answers that tell nothing don't count
	settling time.Duration // after a round
}

const (
	// mostRounds bounds the rounds of a campaign with a focus.
	mostRounds = 3
	// focusedLimit ends a round that gets too few answers.
	focusedLimit = 90 * time.Second
)

// focusedRounds makes rounds until a finding, or until there were enough of them.
func (c *campaign) focusedRounds(ctx context.Context) error {
	for number := range mostRounds {
		if err := c.focusedRound(ctx, number); err != nil {
			return err
		}
		if c.hasFound() {
			break
		}
	}
	return nil
}

// hasFound reports whether a promise in the focus is broken, also by the history so far.
func (c *campaign) hasFound() bool {
	for _, f := range checkHistory(c.history) {
		c.find(f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.findings, c.config.focus.isMeant)
}

// isMeant reports whether a finding is of the promises in the focus.
func (o *focus) isMeant(f finding) bool { return slices.Contains(o.promises, f.promise) }

// focusedRound makes one round, and all checks that are possible after it.
func (c *campaign) focusedRound(ctx context.Context, number int) error {
	o := c.config.focus
	r := c.newRound(number)
	working, stop := context.WithTimeout(ctx, focusedLimit)
	defer stop()
	r.answersLeft.Store(int64(o.answers))
	r.enough = stop
	var clients sync.WaitGroup
	for number := range clientCount {
		client := c.newClient(number, r)
		clients.Go(func() { client.work(working, o.requests) })
	}
	c.breakThings(ctx, working, schedule(o.faults, c.config.seed, number, focusedLimit))
	clients.Wait()
	if c.hasFound() {
		return nil
	}
	if err := c.calm(ctx, o.settling); err != nil {
		return err
	}
	if err := c.waitSettled(ctx); err != nil {
		return err
	}
	c.lastReads(ctx, r)
	return c.checkCopies(ctx)
}

// inTurn sends several requests about one blob to one gateway, one after another.
func inTurn(all ...func(*client, *gateway, content)) func(*client, *gateway, content) {
	return func(c *client, g *gateway, what content) {
		for _, send := range all {
			send(c, g, what)
		}
	}
}

// putThenKill stores a blob, and kills the gateway as soon as it has acknowledged that.
func (c *client) putThenKill(_ *gateway, what content) {
	killed := c.campaign.gateways[c.random.IntN(gatewayCount-1)]
	if c.upload(killed, what).isDone() {
		c.campaign.count(string(killGateway))
		killed.kill()
	}
}
