package send

import (
	"net/http"
	"strings"
)

// Field is one header field: its canonical name, and its value.
type Field struct{ Name, Value string }

// Header is the fields that describe a blob. Content-Type and Content-Length are not
// among them: net/http derives the framing from those. Many answers may have the same Header
// at the same time.
type Header struct {
	fields []Field
	lines  []byte // the fields as they go over the wire, each line with its end
	// endsLines: a value can end its line. net/http checks that for the fields that it writes
	// itself.
	endsLines bool
}

// NewHeader returns a header of the fields that have a value.
func NewHeader(fields ...Field) Header {
	h := Header{}
	for _, f := range fields {
		if f.Value == "" {
			continue
		}
		h.fields = append(h.fields, f)
		h.lines = append(h.lines, f.Name+": "+f.Value+"\r\n"...)
		h.endsLines = h.endsLines || strings.ContainsAny(f.Value, "\r\n")
	}
	return h
}

// AddTo sets the fields in net/http's header.
func (h Header) AddTo(header http.Header) {
	for _, f := range h.fields {
		header[f.Name] = []string{f.Value}
	}
}
