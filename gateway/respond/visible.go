package respond

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/gateway/problem"
	"casgate/gateway/request"
)

// visible returns the part of an answer that the token of a request may see. With the
// scope read that is all of it. Any other token sees only fields with the tag
// `see:"any"`: ids and states, but no names, sizes, types and times of what others
// stored. So a new field is hidden until its tag says otherwise.
//
// All JSON answers and problems pass here.
func visible(c echo.Context, v any) (any, error) {
	if request.StateOf(c).MayRead {
		return v, nil
	}
	text, err := marshal(v)
	if err != nil {
		return nil, err
	}
	var whole any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&whole); err != nil {
		return nil, err
	}
	return seenByAny(reflect.TypeOf(v), whole), nil
}

// seenByAny returns the part of a decoded JSON value of type t that any token may see.
func seenByAny(t reflect.Type, v any) any {
	if t == nil || isLeaf(t) {
		return v
	}
	switch t.Kind() {
	case reflect.Pointer:
		return seenByAny(t.Elem(), v)
	case reflect.Slice, reflect.Array:
		list, _ := v.([]any)
		for i := range list {
			list[i] = seenByAny(t.Elem(), list[i])
		}
	case reflect.Struct:
		if object, ok := v.(map[string]any); ok {
			seen := map[string]any{}
			addFields(seen, t, object)
			return seen
		}
	}
	return v
}

// addFields adds the fields of a struct that any token may see.
func addFields(seen map[string]any, t reflect.Type, object map[string]any) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			addFields(seen, field.Type, object)
		} else if value, present := object[name]; present && field.Tag.Get("see") == "any" {
			seen[name] = seenByAny(field.Type, value)
		}
	}
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// isLeaf reports whether a type makes its JSON itself, such as a time.
func isLeaf(t reflect.Type) bool { return t.Implements(jsonMarshaler) || t.Implements(textMarshaler) }

// VisibleProblem returns the part of a problem that the token of a request may see. The
// words of a provider, and of the check of its limits, may have a file's name and size in
// them. The details of other problems name only digests, ids, and what the request sent.
func VisibleProblem(c echo.Context, p problem.Details) problem.Details {
	if !request.StateOf(c).MayRead && p.Code.IsProvider() {
		p.Detail, p.ProviderMessage = fmt.Sprintf("%s. A token with the scope read is told more.", p.Title), ""
	}
	return p
}

// Marshal returns the JSON of the part of v that the token of a request may see.
func Marshal(c echo.Context, v any) ([]byte, error) {
	shown, err := visible(c, v)
	if err != nil {
		return nil, fmt.Errorf("choose what the token may see: %w", err)
	}
	return marshal(shown)
}

// marshal leaves URLs as they are, so that they can be copied from the text.
func marshal(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return text.Bytes(), nil
}
