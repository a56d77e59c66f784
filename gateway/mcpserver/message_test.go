package mcpserver

import (
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// A message that the SDK would read otherwise than it was sent is refused. The error has
// the id, unless that is at fault.
func TestCheckMessage(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]struct {
		id   string
		code int64 // 0: nothing is wrong
	}{
		`{"id":1,"method":"ping"}`: {"1", 0},
		`{"id":"1.5"}`:             {`"1.5"`, 0},
		`{"method":"x"}`:           {"null", 0},
		`[{"id":1}]`:               {"null", jsonrpc.CodeInvalidRequest},
		`no JSON`:                  {"null", jsonrpc.CodeParseError},
		`{"id":1} {"id":2}`:        {"null", jsonrpc.CodeParseError},
		`{"method":"notifications/cancelled","params":{"requestId":9.4}}`:   {"null", jsonrpc.CodeInvalidParams},
		`{"method":"notifications/cancelled","params":{"requestId":9}}`:     {"null", 0},
		`{"id":1,"method":"ping","method":"tools/call"}`:                    {"1", jsonrpc.CodeInvalidRequest},
		`{"id":1,"id":2,"method":"ping"}`:                                   {"null", jsonrpc.CodeInvalidRequest},
		`{"id":1,"params":{"name":"a","name":"b"}}`:                         {"1", jsonrpc.CodeInvalidParams},
		`{"id":"a","params":{"arguments":{"file":"x","file":"y"}}}`:         {`"a"`, jsonrpc.CodeInvalidParams},
		`{"id":"a","params":{"arguments":{"\u0066ile":"x","file":"y"}}}`:    {`"a"`, jsonrpc.CodeInvalidParams},
		`{"id":1,"params":"x"}`:                                             {"1", jsonrpc.CodeInvalidParams},
		`{"id":1,"params":[]}`:                                              {"1", jsonrpc.CodeInvalidParams},
		`{"id":1,"params":{"name":5}}`:                                      {"1", jsonrpc.CodeInvalidParams},
		`{"id":1,"params":{"uri":{}}}`:                                      {"1", jsonrpc.CodeInvalidParams},
		`{"id":1,"params":{"arguments":"x"}}`:                               {"1", jsonrpc.CodeInvalidParams},
		`{"id":1,"params":{"name":"x","arguments":null}}`:                   {"1", 0},
		`{"id":1,"params":null}`:                                            {"1", 0},
		`{"id":1.5}`:                                                        {"null", jsonrpc.CodeInvalidRequest},
		`{"id":1e2}`:                                                        {"null", jsonrpc.CodeInvalidRequest},
		`{"id":-0}`:                                                         {"null", jsonrpc.CodeInvalidRequest},
		`{"id":9007199254740991}`:                                           {"9007199254740991", 0},
		`{"id":9007199254740992}`:                                           {"null", jsonrpc.CodeInvalidRequest},
		`{"id":99999999999999999999}`:                                       {"null", jsonrpc.CodeInvalidRequest},
		`{"id":null,"method":"ping"}`:                                       {"null", jsonrpc.CodeInvalidRequest},
		`{"id":null,"error":{"code":1,"message":"x"}}`:                      {"null", 0},
		`{"id":1,"method":"initialize","params":{"protocolVersion":5}}`:     {"1", jsonrpc.CodeInvalidParams},
		`{"id":1,"method":"initialize","params":{"clientInfo":{"name":5}}}`: {"1", jsonrpc.CodeInvalidParams},
		`{"id":1,"method":"initialize","params":{"capabilities":[]}}`:       {"1", jsonrpc.CodeInvalidParams},
		`{"id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{"listChanged":true},"sampling":{},"x":{"y":1}},"clientInfo":{"name":"x","version":"1","z":2}}}`: {"1", 0},
		`{"id":1,"method":"` + strings.Repeat("x", maxMethod+1) + `"}`: {"1", jsonrpc.CodeMethodNotFound},
	} {
		id, fault := CheckMessage([]byte(message))
		if string(id) != want.id || (fault == nil) != (want.code == 0) || fault != nil && fault.Code != want.code {
			t.Errorf("%s: %s, %v", message, id, fault)
		}
	}
	if _, fault := CheckMessage([]byte(`{"a":{"` + strings.Repeat("x", 9000) + `":1,"` + strings.Repeat("x", 9000) + `":1}}`)); fault == nil || len(fault.Message) > maxFault {
		t.Errorf("a long name: %v", fault)
	}
}
