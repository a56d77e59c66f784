package mcpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas"
)

// checkCalls refuses calls of unknown tools, and arguments that a tool doesn't take. The SDK
// checks them too, but its errors are in words for programmers, and repeat the arguments.
func checkCalls(schemas map[string]*jsonschema.Schema) mcp.Middleware {
	return func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			switch r := r.(type) {
			case *mcp.CallToolRequest:
				schema, ok := schemas[r.Params.Name]
				if !ok {
					return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: fmt.Sprintf("unknown tool %.100q", r.Params.Name)}
				}
				if err := checkArguments(schema, r.Params.Arguments); err != nil {
					refused := &mcp.CallToolResult{}
					refused.SetError(toolError(err))
					return refused, nil
				}
			case *mcp.ReadResourceRequest:
				if len(r.Params.URI) > maxArgument {
					return nil, protocolError(badArgument("uri: at most %d bytes are allowed", maxArgument))
				}
			}
			return next(ctx, method, r)
		}
	}
}

// checkArguments checks the arguments of a call against the schema of its tool.
func checkArguments(schema *jsonschema.Schema, raw json.RawMessage) error {
	var arguments map[string]any
	if len(raw) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		if err := decoder.Decode(&arguments); err != nil {
			return badArgument("the arguments are no JSON object")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(arguments)) {
		property, ok := schema.Properties[name]
		if !ok {
			return badArgument("there is no argument %.100q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(schema.Properties)), ", "))
		}
		if need := needOf(property, arguments[name]); need != "" {
			return badArgument("%s: %s needed", name, need)
		}
	}
	for _, name := range schema.Required {
		if _, ok := arguments[name]; !ok {
			return badArgument("%s is missing: %s needed", name, words(schema.Properties[name]))
		}
	}
	return nil
}

// needOf returns what a schema needs in place of a value; "" if the value is right.
func needOf(s *jsonschema.Schema, value any) string {
	ok := false
	switch v := value.(type) {
	case nil:
		ok = slices.Contains(s.Types, "null")
	case bool:
		ok = isOf(s, "boolean")
	case string:
		ok = isOf(s, "string") && isText(s, v)
	case json.Number:
		ok = isOf(s, "integer") && isWhole(s, v)
	case []any:
		ok = isOf(s, "array") && (s.MaxItems == nil || len(v) <= *s.MaxItems) &&
			!slices.ContainsFunc(v, func(item any) bool { return needOf(s.Items, item) != "" })
	}
	if ok {
		return ""
	}
	return words(s)
}

func isOf(s *jsonschema.Schema, kind string) bool {
	return s.Type == kind || slices.Contains(s.Types, kind)
}

func isText(s *jsonschema.Schema, text string) bool {
	length := utf8.RuneCountInString(text)
	switch {
	case s.MinLength != nil && length < *s.MinLength, s.MaxLength != nil && length > *s.MaxLength:
		return false
	case s.Pattern == hexDigest:
		_, err := cas.ParseDigest("sha256:" + text)
		return err == nil
	}
	return s.Enum == nil || slices.Contains(s.Enum, any(text))
}

func isWhole(s *jsonschema.Schema, number json.Number) bool {
	n, err := number.Float64()
	return err == nil && n == math.Trunc(n) && math.Abs(n) <= maxSafe &&
		(s.Minimum == nil || n >= *s.Minimum) && (s.Maximum == nil || n <= *s.Maximum)
}

// words says in words which values a schema allows.
func words(s *jsonschema.Schema) string {
	switch {
	case isOf(s, "boolean"):
		return "true or false is"
	case isOf(s, "array"):
		if s.MaxItems != nil {
			return fmt.Sprintf("a list of at most %d texts is", *s.MaxItems)
		}
		return "a list of texts" + lengthWords(s.Items) + " is"
	case isOf(s, "integer") && s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("a whole number from %.0f to %.0f is", *s.Minimum, *s.Maximum)
	case isOf(s, "integer") && s.Minimum != nil:
		return fmt.Sprintf("a whole number from %.0f to %d is", *s.Minimum, maxSafe)
	case isOf(s, "integer"):
		return "a whole number is"
	case s.Enum != nil:
		return oneOf(s.Enum) + " is"
	case s.Pattern == hexDigest:
		return "64 digits of lowercase hexadecimal are"
	}
	return "a text" + lengthWords(s) + " is"
}

// oneOf lists values, such as "a, b or c".
func oneOf(values []any) string {
	var listed strings.Builder
	for i, value := range values {
		switch {
		case i > 0 && i == len(values)-1:
			listed.WriteString(" or ")
		case i > 0:
			listed.WriteString(", ")
		}
		fmt.Fprint(&listed, value)
	}
	return listed.String()
}

func lengthWords(s *jsonschema.Schema) string {
	switch {
	case s.MinLength != nil:
		return " that is not empty"
	case s.MaxLength != nil:
		return fmt.Sprintf(" of at most %d characters", *s.MaxLength)
	}
	return ""
}
