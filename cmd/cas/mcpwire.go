package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/gateway/mcpserver"
)

// protocolIn passes on the messages of standard input, each of which is a line. The SDK ends
// a session at the first line that is no message. protocolIn answers such a line with an
// error (JSON-RPC 2.0, section 5.1), and the session goes on.
type protocolIn struct {
	lines *bufio.Reader
	out   io.Writer // for the errors
	rest  []byte    // of a message
}

func newProtocolIn(in io.Reader, out io.Writer) *protocolIn {
	return &protocolIn{lines: bufio.NewReader(in), out: out}
}

// maxProtocolLine is the longest line that is taken, in bytes.
const maxProtocolLine = mcp.DefaultMaxLineLength

// Read implements io.Reader.
func (p *protocolIn) Read(to []byte) (int, error) {
	for len(p.rest) == 0 {
		line, err := p.line()
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			continue
		}
		if id, fault := faultOf(line); fault != nil {
			if err := p.refuse(id, fault); err != nil {
				return 0, err
			}
			continue
		}
		p.rest = append(line, '\n')
	}
	n := copy(to, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// Close implements io.Closer. Standard input stays open.
func (p *protocolIn) Close() error { return nil }

// line returns the next line without spaces around it. One that is too long is cut, which
// leaves no JSON.
func (p *protocolIn) line() ([]byte, error) {
	var line []byte
	for {
		part, err := p.lines.ReadSlice('\n')
		line = append(line, part[:min(len(part), maxProtocolLine-len(line))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(line) > 0, err == nil:
			return bytes.TrimSpace(line), nil
		default:
			return nil, err
		}
	}
}

// faultOf returns why a line is no message, and the id that the answer has; nil: it is one.
func faultOf(line []byte) (id json.RawMessage, fault *jsonrpc.Error) {
	if len(line) >= maxProtocolLine {
		return noID, &jsonrpc.Error{Code: jsonrpc.CodeParseError, Message: fmt.Sprintf("the line has more than %d bytes", maxProtocolLine)}
	}
	if id, fault := mcpserver.CheckMessage(line); fault != nil {
		return id, fault
	}
	if _, err := jsonrpc.DecodeMessage(line); err != nil {
		return noID, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: "the line is no message of JSON-RPC 2.0"}
	}
	return nil, nil
}

// noID is the id of an answer to a line that has none to repeat.
var noID = json.RawMessage("null")

// refuse answers a line that is no message.
func (p *protocolIn) refuse(id json.RawMessage, fault *jsonrpc.Error) error {
	answer, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": fault})
	if err != nil {
		return err
	}
	_, err = p.out.Write(append(answer, '\n'))
	return err
}

// protocolOut is standard output, which stays open. Each Write is a whole message.
type protocolOut struct {
	mu  sync.Mutex
	out io.Writer
}

// Write implements io.Writer.
func (o *protocolOut) Write(message []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out.Write(message)
}

// Close implements io.Closer.
func (o *protocolOut) Close() error { return nil }

// protocolTransport is a transport whose answers are those of the protocol, where the SDK's
// are not.
type protocolTransport struct{ mcp.Transport }

// Connect implements mcp.Transport.
func (t protocolTransport) Connect(ctx context.Context) (mcp.Connection, error) {
	conn, err := t.Transport.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &protocolConn{Connection: conn, requests: map[jsonrpc.ID]requestState{}}, nil
}

// protocolConn is a connection of protocolTransport.
type protocolConn struct {
	mcp.Connection
	mu       sync.Mutex
	requests map[jsonrpc.ID]requestState // that have no answer yet
}

// requestState is what the client wants of its request.
type requestState int

const (
	requestAwaited requestState = iota
	requestCancelled
)

// Read implements mcp.Connection.
func (c *protocolConn) Read(ctx context.Context) (jsonrpc.Message, error) {
	message, err := c.Connection.Read(ctx)
	if request, ok := message.(*jsonrpc.Request); ok && err == nil {
		c.note(request)
	}
	return message, err
}

// note keeps a request until it is answered, and that it was cancelled.
func (c *protocolConn) note(r *jsonrpc.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.IsCall() {
		c.requests[r.ID] = requestAwaited
		return
	}
	if id, ok := mcpserver.CancelledRequest(r); ok {
		if _, underWay := c.requests[id]; underWay {
			c.requests[id] = requestCancelled
		}
	}
}

// Write implements mcp.Connection. It leaves out the answer to a cancelled request. Errors
// without a code are the SDK's refusals, such as of a second initialize.
func (c *protocolConn) Write(ctx context.Context, message jsonrpc.Message) error {
	response, ok := message.(*jsonrpc.Response)
	if !ok {
		return c.Connection.Write(ctx, message)
	}
	if c.answered(response.ID) == requestCancelled {
		return nil
	}
	if _, hasCode := errors.AsType[*jsonrpc.Error](response.Error); response.Error != nil && !hasCode {
		response.Error = &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: response.Error.Error()}
	}
	return c.Connection.Write(ctx, response)
}

// answered forgets a request, and returns what its client wants.
func (c *protocolConn) answered(id jsonrpc.ID) requestState {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.requests[id]
	delete(c.requests, id)
	return state
}
