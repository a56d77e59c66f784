package mcpserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	// maxSafe is the largest whole number that all JSON readers take for the same.
	maxSafe = 1<<53 - 1
	// maxMethod bounds the name of a method, in characters. The error of an unknown one
	// repeats it.
	maxMethod = 128
)

const (
	// MethodInitialize is the method of a client's first request.
	MethodInitialize = "initialize"
	// VersionWithoutInitialize is the first version of the protocol in which no client begins
	// with it. Versions are dates, in the order of their texts.
	VersionWithoutInitialize = "2026-07-28"
)

// CancelledRequest returns the id of the request that a notification cancels. It is false for
// any other message.
func CancelledRequest(r *jsonrpc.Request) (id jsonrpc.ID, cancels bool) {
	var params struct {
		RequestID any `json:"requestId"`
	}
	if r.Method != "notifications/cancelled" || json.Unmarshal(r.Params, &params) != nil || params.RequestID == nil {
		return jsonrpc.ID{}, false
	}
	id, err := jsonrpc.MakeID(params.RequestID)
	return id, err == nil
}

// CheckMessage returns why bytes are no single message, or why the SDK would read it
// otherwise than it was sent; nil: neither. id is the id that the answer has. The SDK takes
// one of two members with the same name, cuts ids that are fractions, rounds large ones, and
// drops what follows the message. It takes a request whose id is null for a notification, and
// answers nothing.
func CheckMessage(message []byte) (id json.RawMessage, fault *jsonrpc.Error) {
	id = json.RawMessage("null")
	if !json.Valid(message) {
		return id, &jsonrpc.Error{Code: jsonrpc.CodeParseError, Message: "the message is no JSON"}
	}
	if bytes.TrimSpace(message)[0] == '[' {
		return id, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: "batches are not taken: send each message alone"}
	}
	var head struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(message, &head); err != nil {
		return id, nil // the SDK refuses it
	}
	twice := memberTwice(message)
	if len(head.ID) > 0 && twice != "/id" {
		if isRequest := head.Method != ""; !isKeptID(head.ID) || isRequest && string(head.ID) == "null" {
			return id, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: fmt.Sprintf("an id is a text, or a whole number up to %d", maxSafe)}
		}
		id = head.ID
	}
	switch {
	case strings.HasPrefix(twice, "/params/"):
		return id, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: fmt.Sprintf("the member %.200q is there twice", twice)}
	case twice != "":
		return id, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: fmt.Sprintf("the member %.200q is there twice", twice)}
	case utf8.RuneCountInString(head.Method) > maxMethod:
		return id, &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: fmt.Sprintf("no method has more than %d characters", maxMethod)}
	}
	if wrong := cmp.Or(wrongParam(head.Params), wrongStart(head.Method, head.Params)); wrong != "" {
		return id, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: wrong}
	}
	return id, nil
}

// wrongParam says which parameter of a request has the wrong type; "" if none has. The SDK
// refuses them, too, but repeats all parameters.
func wrongParam(params json.RawMessage) string {
	const object, text = "an object", "a text"
	if len(params) == 0 || string(params) == "null" {
		return ""
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(params, &members) != nil {
		return "params: " + object + " is needed"
	}
	if cancelled := members["requestId"]; len(cancelled) > 0 && !isKeptID(cancelled) {
		return fmt.Sprintf("params.requestId: a text, or a whole number up to %d is needed", maxSafe)
	}
	for name, want := range map[string]string{"name": text, "uri": text, "cursor": text, "arguments": object} {
		value := members[name]
		is := len(value) == 0 || string(value) == "null" || want == text && value[0] == '"' || want == object && value[0] == '{'
		if !is {
			return "params." + name + ": " + want + " is needed"
		}
	}
	return ""
}

// wrongStart says what is wrong with the types in the parameters of initialize; "" if nothing
// is. The SDK's error for them has no code.
func wrongStart(method string, params json.RawMessage) string {
	if method != MethodInitialize || len(params) == 0 {
		return ""
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](json.Unmarshal(params, new(mcp.InitializeParams))); ok {
		return fmt.Sprintf("params.%.100s: it can't be of the type %s", wrong.Field, wrong.Value)
	}
	return ""
}

// isKeptID reports whether the SDK keeps an id as it is. It refuses other types than texts
// and numbers itself.
func isKeptID(id json.RawMessage) bool {
	if c := id[0]; c != '-' && (c < '0' || c > '9') {
		return true
	}
	n, err := strconv.ParseInt(string(id), 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == string(id) && -maxSafe <= n && n <= maxSafe
}

// memberTwice returns the JSON pointer of a member whose object has its name twice; "" if
// there is none.
func memberTwice(message []byte) string {
	err := jsontext.NewDecoder(bytes.NewReader(message), jsontext.AllowInvalidUTF8(true)).SkipValue()
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok && errors.Is(err, jsontext.ErrDuplicateName) {
		return string(syntax.JSONPointer)
	}
	return ""
}
