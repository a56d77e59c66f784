package mcpserver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// progress tells a client, if it asks for that, that a call goes on.
type progress struct {
	mu    sync.Mutex
	bytes int // of the answer
	done  chan struct{}
	ended sync.WaitGroup
	once  sync.Once
}

// newProgress starts to report a call, until stop.
func newProgress(ctx context.Context, r *mcp.CallToolRequest) *progress {
	p := &progress{done: make(chan struct{})}
	if token := r.Params.GetProgressToken(); token != nil {
		p.ended.Go(func() { p.report(ctx, r.Session, token) })
	}
	return p
}

// report sends notifications. A client that doesn't take one has no need of the others.
func (p *progress) report(ctx context.Context, session *mcp.ServerSession, token any) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for sent := 1; ; sent++ {
		err := session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(sent), Message: p.message()})
		if err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			return
		}
	}
}

func (p *progress) message() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes == 0 {
		return "Copies are made where they are missing, and the model reads."
	}
	return fmt.Sprintf("The answer has %d bytes so far.", p.bytes)
}

// add counts bytes of the answer.
func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += n
}

// stop ends the reports. After it, none is on its way.
func (p *progress) stop() {
	p.once.Do(func() { close(p.done) })
	p.ended.Wait()
}
