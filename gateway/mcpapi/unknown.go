package mcpapi

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	headerVersion = "MCP-Protocol-Version"
	// versionWithoutInitialize is the first version in which no client begins with initialize.
	// From it on, the SDK answers unknown methods with JSON-RPC and 404, as the protocol says.
	versionWithoutInitialize = "2026-07-28"
)

// takeUnknown makes a server answer the method of a request with JSON-RPC's error, if the SDK
// doesn't know it. By itself, the SDK answers with 400 and a line of text, which clients take
// for a failure of the connection. ignored: it is a notification, which nobody answers.
func takeUnknown(server *mcp.Server, h http.Header, r *jsonrpc.Request) (ignored bool) {
	if r.IsCall() && h.Get(headerVersion) >= versionWithoutInitialize {
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
