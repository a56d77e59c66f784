package importer

import (
	"context"
	"io"

	"golang.org/x/time/rate"

	"casgate/cas"
)

// throttleBurst is the largest read at once, in bytes.
const throttleBurst = 256 << 10

// Throttle returns sources that together deliver at most bytesPerSecond. A value below
// 1 means no limit.
func Throttle(sources []cas.Source, bytesPerSecond int64) []cas.Source {
	if bytesPerSecond < 1 {
		return sources
	}
	limiter := rate.NewLimiter(rate.Limit(bytesPerSecond), throttleBurst)
	slow := make([]cas.Source, len(sources))
	for i, s := range sources {
		slow[i] = throttled{s, limiter}
	}
	return slow
}

// throttled is a source that shares a limiter with others.
type throttled struct {
	cas.Source
	limiter *rate.Limiter
}

// Open implements cas.Source.
func (t throttled) Open(ctx context.Context, key string) (cas.Object, error) {
	o, err := t.Source.Open(ctx, key)
	if err == nil {
		o.Body = &throttledBody{o.Body, ctx, t.limiter}
	}
	return o, err
}

// throttledBody waits after each read, since only then the number of bytes is known.
type throttledBody struct {
	io.ReadCloser
	ctx     context.Context
	limiter *rate.Limiter
}

func (b *throttledBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), throttleBurst)])
	if waitErr := b.limiter.WaitN(b.ctx, n); waitErr != nil && err == nil {
		err = waitErr
	}
	return n, err
}
