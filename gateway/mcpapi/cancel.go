package mcpapi

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/gateway/mcpserver"
)

// headerSession names a client: the answer to initialize has it, and the client repeats it.
// It is a label and no session. The gateway keeps nothing under it, and takes any. Without
// it, a client could cancel a call of another one with the same token, since many clients
// number their calls from 1.
const headerSession = "Mcp-Session-Id"

// sender is who may cancel a call: a client that uses a token.
type sender struct {
	token  string // its id
	client string // its label
}

// call is a call that the gateway answers.
type call struct {
	sender sender
	id     jsonrpc.ID
	cancel context.CancelFunc
}

// callsUnderWay are the calls that this gateway answers. Calls at other gateways are not
// known here.
type callsUnderWay struct {
	mu    sync.Mutex
	calls map[*call]struct{}
}

// add keeps a call until done.
func (u *callsUnderWay) add(c *call) (done func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls[c] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.calls, c)
	}
}

// cancel ends the sender's call with an id. If several calls have the id, such as those of
// clients without a label, none is meant for certain, and all go on.
func (u *callsUnderWay) cancel(from sender, id jsonrpc.ID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var meant []*call
	for c := range u.calls {
		if c.sender == from && c.id == id {
			meant = append(meant, c)
		}
	}
	if len(meant) == 1 {
		meant[0].cancel()
	}
}

// follow notes a request, whose end is end, until done. A notification that cancels another
// request ends that one.
func (u *callsUnderWay) follow(r *jsonrpc.Request, from sender, end context.CancelFunc) (done func()) {
	if id, ok := mcpserver.CancelledRequest(r); ok {
		u.cancel(from, id)
	}
	if !r.IsCall() {
		return func() {}
	}
	return u.add(&call{from, r.ID, end})
}

// labelClient gives a client that begins its label.
func labelClient(h http.Header, r *jsonrpc.Request) {
	if r.Method == mcpserver.MethodInitialize {
		h.Set(headerSession, rand.Text())
	}
}

// endWith makes calls of tools end with the HTTP request. The SDK lets them run to their end,
// since a client might fetch the result later; but this server keeps no results.
func endWith(request context.Context) mcp.Middleware {
	return func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			stop := context.AfterFunc(request, func() { cancel(context.Cause(request)) })
			defer stop()
			return next(ctx, method, r)
		}
	}
}

// cancelledWriter writes an answer until its request is cancelled. The protocol wants no
// result of a cancelled call, and the SDK would sometimes send the error that the end of the
// call makes.
type cancelledWriter struct {
	http.ResponseWriter
	request context.Context
}

// Write implements http.ResponseWriter.
func (w cancelledWriter) Write(p []byte) (int, error) {
	if w.request.Err() != nil {
		return 0, context.Cause(w.request)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find the writer, to flush it.
func (w cancelledWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
