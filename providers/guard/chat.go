package guard

import (
	"cmp"
	"context"

	"casgate/providers"
)

// ChatOptions limits the calls for chat. 0 means unlimited: the limits of a description
// are those of files.
type ChatOptions struct {
	// Concurrency is the maximum number of calls at once.
	Concurrency int
	// PerMinute is the maximum number of calls that begin in a minute.
	PerMinute int
}

// newChatLimiter returns a limiter for chat alone. So answers that stream for minutes take
// no slot of a file call.
func newChatLimiter(p providers.Provider, o ChatOptions) *Limiter {
	const unlimited = -1
	return Limit(p, LimitOptions{Concurrency: cmp.Or(o.Concurrency, unlimited), PerMinute: cmp.Or(o.PerMinute, unlimited)})
}

// Chat implements providers.Chatter. Calls for chat have limits of their own, and pass no
// other decorator: their failures say nothing about files, and the caller gets the
// provider's own answer.
func (g *Guard) Chat() providers.ChatAPI {
	api := g.layer.Chat()
	api.Begin = func(ctx context.Context) (func(), error) {
		leave, err := g.chat.begin(ctx, &call{op: providers.OpChat})
		if err != nil {
			return nil, err
		}
		return func() { leave(nil) }, nil
	}
	return api
}
