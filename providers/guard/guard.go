// Package guard has the decorators of a provider: limits, a hold after refusals, retries, a circuit breaker,
// a health check, metrics and the log. Each decorator wraps a providers.Provider, and
// can be used alone. New combines them, from the inside out:
//
//	adapter ◀ Trace ◀ Limit ◀ Hold ◀ Retry ◀ Break ◀ Watch ◀ Observe
//
// Trace is there only if it is asked for. Each attempt of a call waits for its own slot, and occupies no slot between two
// attempts, or while it is held back. The breaker counts the outcome after all attempts. Metrics and the log
// show the outcome that the caller gets.
//
// Calls for chat pass only a limiter of their own; see Guard.Chat.
//
// A decorator implements all abilities; providers.Ability returns those that the
// adapter has.
package guard

import (
	"context"

	"casgate/providers"
)

// Options configures a Guard. The zero value of each part means its defaults.
type Options struct {
	Hold    HoldOptions
	Limit   LimitOptions
	Retry   RetryOptions
	Break   BreakOptions
	Watch   WatchOptions
	Observe ObserveOptions
	Chat    ChatOptions
	// Traced puts Trace around the adapter.
	Traced bool
}

// Guard is a provider with all decorators. It is safe for concurrent use.
type Guard struct {
	*Observer
	watcher *Watcher
	holder  *Holder
	chat    *Limiter
}

// New wraps an adapter in the decorators. An account must have only one Guard, since
// the Guard enforces the account's limits.
func New(p providers.Provider, o Options) *Guard {
	observer := newObserver(p.Describe().Provider, o.Observe)
	observer.breakerMade()
	o.Retry.retrying = observer.retrying
	o.Break.changed = observer.breakerChanged
	adapter := p
	if o.Traced {
		p = Trace(p)
	}
	holder := Hold(p, o.Hold)
	o.Limit.recheck = holder.recheck
	holder.next = Limit(p, o.Limit)
	watcher := Watch(Break(Retry(holder, o.Retry), o.Break), o.Watch)
	observer.next = watcher
	return &Guard{Observer: observer, watcher: watcher, holder: holder, chat: newChatLimiter(adapter, o.Chat)}
}

// Health implements providers.Guarded.
func (g *Guard) Health() providers.Health {
	h := g.watcher.Health()
	h.HeldUntil = g.holder.HeldUntil()
	return h
}

// Run checks the provider's health in the background until the context is done. It
// returns the context's error. Without Run the breaker closes only after a successful
// call.
func (g *Guard) Run(ctx context.Context) error { return g.watcher.Run(ctx, g) }

var (
	_ providers.Guarded       = (*Guard)(nil)
	_ providers.Unwrapper     = (*Guard)(nil)
	_ providers.Retriever     = (*Guard)(nil)
	_ providers.Poller        = (*Guard)(nil)
	_ providers.TextExtractor = (*Guard)(nil)
	_ providers.Downloader    = (*Guard)(nil)
	_ providers.Chatter       = (*Guard)(nil)
)
