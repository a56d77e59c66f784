// Package guard has the decorators around a provider: limits, retries, a circuit
// breaker, a health check, metrics and the log. Each is a providers.Provider around
// another and can be used alone; New puts them together, from the inside out:
//
//	adapter ◀ Limit ◀ Retry ◀ Break ◀ Watch ◀ Observe
//
// So each attempt of a call waits for its own turn, and takes up no place while it
// rests; the breaker counts what is left after the attempts; and what is counted
// and logged is what the caller gets.
//
// A decorator has all abilities; providers.Ability tells which of them the adapter
// beneath has.
package guard

import (
	"context"

	"casgate/providers"
)

// Options configures a Guard. The zero value of each part means its defaults.
type Options struct {
	Limit   LimitOptions
	Retry   RetryOptions
	Break   BreakOptions
	Watch   WatchOptions
	Observe ObserveOptions
}

// Guard is a provider with all decorators around it. It is safe for concurrent
// use.
type Guard struct {
	*Observer
	watcher *Watcher
}

// New puts the decorators around an adapter. An account must have one Guard only,
// since the Guard keeps the account's limits.
func New(p providers.Provider, o Options) *Guard {
	observer := newObserver(p.Describe().Provider, o.Observe)
	observer.breakerMade()
	o.Retry.retrying = observer.retrying
	o.Break.changed = observer.breakerChanged
	watcher := Watch(Break(Retry(Limit(p, o.Limit), o.Retry), o.Break), o.Watch)
	observer.next = watcher
	return &Guard{Observer: observer, watcher: watcher}
}

// Health implements providers.Guarded.
func (g *Guard) Health() providers.Health { return g.watcher.Health() }

// Run checks the provider's health in the background until the context is done,
// whose error it returns. Without it the breaker closes only when somebody's call
// goes well.
func (g *Guard) Run(ctx context.Context) error { return g.watcher.Run(ctx, g) }

var (
	_ providers.Guarded       = (*Guard)(nil)
	_ providers.Unwrapper     = (*Guard)(nil)
	_ providers.Retriever     = (*Guard)(nil)
	_ providers.Poller        = (*Guard)(nil)
	_ providers.TextExtractor = (*Guard)(nil)
	_ providers.Downloader    = (*Guard)(nil)
)
