// Package mcpapi answers POST /mcp: the Model Context Protocol over streamable HTTP, without
// sessions. The tools send their requests to the gateway's own handler, with the token of the
// request, so they have its rights and no others.
package mcpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/client"
	"casgate/gateway/mcpserver"
	"casgate/gateway/problem"
	"casgate/gateway/request"
)

// MaxBody is the largest request, in bytes.
const MaxBody = 4 << 20

// Authorizer knows the tokens of requests.
type Authorizer interface {
	// RequestToken returns the token of a request. It is false if the gateway has no
	// authentication.
	RequestToken(c echo.Context) (access.Token, bool, error)
	// SentToken returns the text of the token that a request sends; "" if there is none.
	SentToken(h http.Header) string
}

// Handlers answers requests of agents.
type Handlers struct {
	Authorizer Authorizer
	// Gateway carries requests to the gateway's own handler, at the URL Base.
	Gateway  http.RoundTripper
	Base     string
	BodyRate request.MinRate
	Version  string
	// ChatOff: the gateway sends no requests to models.
	ChatOff bool

	protocol http.Handler
	calls    *callsUnderWay
}

// New returns Handlers with the protocol set up.
func New(h Handlers) *Handlers {
	h.calls = &callsUnderWay{calls: map[*call]struct{}{}}
	h.protocol = mcp.NewStreamableHTTPHandler(serverOf, &mcp.StreamableHTTPOptions{
		Stateless:           true, // any gateway of a deployment answers any request
		MaxRequestBodyBytes: MaxBody,
		// The gateway authorizes requests, and refuses foreign hosts, before they come here.
		// The SDK's own check would refuse a proxy on the same machine.
		DisableLocalhostProtection: true,
	})
	return &h
}

// serverKey is the key of a request's server in its context.
type serverKey struct{}

// serverOf returns the server that Serve made for a request.
func serverOf(r *http.Request) *mcp.Server {
	server, _ := r.Context().Value(serverKey{}).(*mcp.Server)
	return server
}

// Serve answers POST /mcp.
func (h *Handlers) Serve(c echo.Context) error {
	body, err := h.readBody(c)
	if err != nil {
		return err
	}
	if _, fault := mcpserver.CheckMessage(body); fault != nil {
		return problem.New(problem.InvalidRequest, fault.Message)
	}
	token, known, err := h.Authorizer.RequestToken(c)
	if err != nil {
		return err
	}
	server, err := h.server(c, func(scope access.Scope) bool { return !known || token.Allows(scope) })
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(c.Request().Context())
	defer end()
	server.AddReceivingMiddleware(endWith(ctx))
	if request := requestIn(body); request != nil {
		if takeUnknown(server, c.Request().Header, request) {
			return c.NoContent(http.StatusAccepted)
		}
		labelClient(c.Response().Header(), request)
		from := sender{token.ID, c.Request().Header.Get(headerSession)}
		defer h.calls.follow(request, from, end)()
	}
	r := c.Request().WithContext(context.WithValue(ctx, serverKey{}, server))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	c.Response().Header().Set("X-Accel-Buffering", "no") // nginx would hold notifications back
	h.protocol.ServeHTTP(cancelledWriter{c.Response(), ctx}, r)
	return nil
}

// requestIn returns the request or the notification that a message is; nil if it is none.
func requestIn(message []byte) *jsonrpc.Request {
	decoded, err := jsonrpc.DecodeMessage(message)
	if err != nil {
		return nil // the SDK refuses it
	}
	request, _ := decoded.(*jsonrpc.Request)
	return request
}

// readBody reads the whole body, under the minimum rate of uploads.
func (h *Handlers) readBody(c echo.Context) ([]byte, error) {
	if coding := c.Request().Header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problem.New(problem.UnsupportedMedia, "Content-Encoding is not supported: send plain JSON.")
	}
	body := h.BodyRate.Body(c)
	defer request.StopBody(c)
	raw, err := io.ReadAll(io.LimitReader(body, MaxBody+1))
	switch {
	case err != nil && !errors.Is(err, cas.ErrBodyRead):
		return nil, fmt.Errorf("%w: %w", cas.ErrBodyRead, err)
	case err != nil:
		return nil, err
	case len(raw) > MaxBody:
		return nil, problem.New(problem.RequestTooLarge, fmt.Sprintf("the request has more than %d bytes; upload_url gives a URL for the content of a file", MaxBody))
	}
	return raw, nil
}

// server returns a server with the tools that the request's token allows.
func (h *Handlers) server(c echo.Context, allows func(access.Scope) bool) (*mcp.Server, error) {
	gateway, err := client.New(h.Base, client.Options{
		Token: h.Authorizer.SentToken(c.Request().Header), HTTPClient: &http.Client{Transport: h.Gateway},
		NoRedirect: true,                       // only the gateway can be reached
		UserAgent:  "casgate-mcp", Retries: -1, // the agent is told, and repeats the call itself
	})
	if err != nil {
		return nil, err
	}
	o := mcpserver.Options{Client: gateway, Version: h.Version, Allows: allows}
	if h.ChatOff {
		o.Without = append(o.Without, mcpserver.ToolAskModel)
	}
	return mcpserver.New(o), nil
}
