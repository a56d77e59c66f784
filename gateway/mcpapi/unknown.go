package mcpapi

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/gateway/mcpserver"
)

const headerVersion = "MCP-Protocol-Version"

// takeUnknown makes a server answer the method of a request with JSON-RPC's error, if the SDK
// doesn't know it. By itself, the SDK answers with 400 and a line of text, which clients take
// for a failure of the connection; only since VersionWithoutInitialize it answers with 404 and
// JSON-RPC, as the protocol says. ignored: it is a notification, which nobody answers.
func takeUnknown(server *mcp.Server, h http.Header, r *jsonrpc.Request) (ignored bool) {
	if r.IsCall() && h.Get(headerVersion) >= mcpserver.VersionWithoutInitialize {
		return false
	}
	err := mcp.AddReceivingCustomMethod(server, r.Method, refuseMethod)
	isKnown := err != nil
	return !isKnown && !r.IsCall()
}

type (
	anyParams struct{ mcp.ParamsBase }
	noResult  struct{ mcp.ResultBase }
)

// refuseMethod answers an unknown method. The SDK adds its name.
func refuseMethod(context.Context, *mcp.ServerSession, *anyParams) (*noResult, error) {
	return nil, &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: "method not found"}
}
