package request

import (
	"bufio"
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
)

// maxJSON bounds a JSON body; a full find-missing has about 80 KB.
const maxJSON = 256 << 10

// IsJSON reports whether the body of a request is declared to be JSON.
func IsJSON(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	return err == nil && mediaType == echo.MIMEApplicationJSON
}

// JSON reads a body of one JSON object and nothing else.
func JSON(c echo.Context, v any) error {
	var whole json.RawMessage
	decoder := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, maxJSON))
	err := decoder.Decode(&whole)
	if err == nil && decoder.More() {
		return problem.BadRequest("the body has more than one JSON value")
	}
	if err == nil {
		err = decodeOnce(whole, v)
	}
	if err == nil {
		return clearDeadline(c)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrSlowBody
	}
	if _, ok := errors.AsType[*cas.InvalidField](err); ok || errors.Is(err, cas.ErrInvalidDigest) {
		return err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem.BadRequest(fmt.Sprintf("the body is larger than %d bytes", maxJSON))
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrongType(e)
	}
	if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // encoding/json has no type for it
		name, _ := strconv.Unquote(quoted)
		return problem.WithParam(name, problem.BadRequest("the body has the unknown field "+quoted))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return problem.BadRequest("the body is empty or ends within a JSON object")
	}
	return problem.BadRequest(fmt.Sprintf("the body is not the JSON expected: %v", err))
}

// wrongType returns the error for a value of another type than its field has.
func wrongType(e *json.UnmarshalTypeError) error {
	kind, number, _ := strings.Cut(e.Value, " ")
	has := map[string]string{"array": "a list", "object": "an object", "string": "a string", "number": "a number", "bool": "true or false"}[kind]
	if number != "" {
		has = "the number " + number
	}
	if e.Field == "" {
		return problem.BadRequest(fmt.Sprintf("the body is %s, and %s is expected", has, expected(e.Type)))
	}
	return problem.WithParam(e.Field, problem.BadRequest(fmt.Sprintf("%s has %s where %s is expected", e.Field, has, expected(e.Type))))
}

// expected describes the JSON for a type.
func expected(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return expected(t.Elem())
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "a string"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number"
}

// decodeOnce decodes an object without unknown members, and without two of a name. Of two,
// another reader of the request may take the other one. Its texts must be storable.
func decodeOnce(object json.RawMessage, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	members := json.NewDecoder(bytes.NewReader(object))
	if start, err := members.Token(); err != nil || start != json.Delim('{') {
		return err // null, which leaves v as it is
	}
	seen := map[string]bool{}
	for members.More() {
		name, err := members.Token()
		if err != nil {
			return err
		}
		folded := foldName(fmt.Sprint(name))
		if seen[folded] {
			return fmt.Errorf("it has the member %.100q twice", name)
		}
		seen[folded] = true
		var value json.RawMessage
		if err := members.Decode(&value); err != nil {
			return err
		}
		if !cas.IsStorableJSON(value) { // encoding/json has replaced what it can't read
			return &cas.InvalidField{Field: fmt.Sprint(name), Problem: cas.NotStorableJSON}
		}
	}
	return nil
}

// foldName returns the same text for all names that encoding/json takes for one field,
// such as "tags" and "tagſ": each rune becomes the least one that is equal to it under
// Unicode case-folding.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// OptionalJSON is JSON for a body that may be missing.
func OptionalJSON(c echo.Context, v any) error {
	req := c.Request()
	if req.ContentLength == 0 {
		return nil
	}
	body := bufio.NewReader(req.Body)
	if _, err := body.Peek(1); err == io.EOF {
		return clearDeadline(c)
	}
	req.Body = struct {
		io.Reader
		io.Closer
	}{body, req.Body}
	return JSON(c, v)
}

// clearDeadline takes the deadline off a body that is here whole. It must not strike
// while the answer is made.
func clearDeadline(c echo.Context) error {
	return http.NewResponseController(c.Response()).SetReadDeadline(time.Time{})
}
