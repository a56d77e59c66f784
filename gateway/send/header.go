package send

import (
	"net/http"
	"strings"
)

// Field is one header field: its canonical name, and its value.
type Field struct{ Name, Value string }

// Header is the fields that describe a blob. Content-Type and Content-Length are not
// among them: net/http derives the framing from those.
type Header []Field

// AddTo sets the fields in net/http's header.
func (h Header) AddTo(header http.Header) {
	for _, f := range h {
		header[f.Name] = []string{f.Value}
	}
}

// isSafe reports whether no value can end its line. net/http checks that for the
// fields that it writes itself.
func (h Header) isSafe() bool {
	for _, f := range h {
		if strings.ContainsAny(f.Value, "\r\n") {
			return false
		}
	}
	return true
}

// appendLines appends the fields as they go over the wire, each line with its end.
func (h Header) appendLines(b []byte) []byte {
	for _, f := range h {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return b
}
