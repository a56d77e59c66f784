package chatbody

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Body is a request that was read. It keeps the bytes, which must not change.
type Body struct {
	outline
	format *Format
	model  span
	// Model is the model's name; HasModel is false if there is no string in its place.
	Model    string
	HasModel bool
	// Parts are the parts that name or contain a file, in the order of the request.
	Parts    []Part
	messages []message
}

// Error says that a body is not JSON that can be passed on.
type Error struct {
	// Param is the place, as messages[3].content[1]; empty is the whole body.
	Param  string
	Reason string
}

// Error implements error.
func (e *Error) Error() string { return e.Reason }

// span is a range of the body's bytes.
type span struct{ start, end int }

// message is a message of the request.
type message struct {
	span
	role      string
	toolCalls bool
}

// member is a member of an object. Its span begins with its name.
type member struct {
	span
	name    []byte
	value   span
	kind    jsontext.Kind
	members []member // of a value that is an object
}

// Part is a part that names or contains a file.
type Part struct {
	// Param is its place, as messages[3].content[1].
	Param Param
	// Type is the value of its member type.
	Type string

	span
	message int
	rule    PartType
	members []member
	outline outline // of the body
}

// Value is the string of a source.
type Value struct {
	// Text is the string without quotes and escapes. It may share its bytes with the body.
	Text []byte
	// Param is its place, as messages[3].content[1].file.file_id.
	Param Param
}

// Value returns the string of the first source of the part with this meaning. An empty
// string counts as none.
func (p Part) Value(meaning Meaning) (Value, bool) {
	for _, source := range p.rule.Sources {
		if source.Meaning != meaning {
			continue
		}
		if text, ok := p.text(source.Path); ok && len(text) > 0 {
			return Value{Text: text, Param: Param{p.Param.pointer, source.Path}}, true
		}
	}
	return Value{}, false
}

// text returns the string at a path of the part.
func (p Part) text(path string) ([]byte, bool) {
	members := p.members
	for name := range strings.SplitSeq(path, "/") {
		found, ok := memberOf(members, name)
		if !ok {
			return nil, false
		}
		if found.kind == '"' {
			return p.outline.unquote(found.value), !strings.HasPrefix(path, name+"/")
		}
		members = found.members
	}
	return nil, false
}

func memberOf(members []member, name string) (member, bool) {
	for _, m := range members {
		if string(m.name) == name {
			return m, true
		}
	}
	return member{}, false
}

// unquote returns the text of a JSON string. Most have no escapes, and need no copy.
func (o outline) unquote(at span) []byte {
	quoted := o.raw[at.start:at.end]
	inner := quoted[1 : len(quoted)-1]
	if o.isPlain(at) || bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // the decoder has checked it; lone surrogates become U+FFFD
	return text
}

// Scan reads a body. The error is an *Error if it is not one JSON object with unique
// names, and nothing after it. Names that differ in halves of surrogate pairs alone count as
// equal, since many parsers put U+FFFD in the place of each.
//
// Names must be unique because parsers differ in which of two members counts: the gateway
// would choose the provider by one model, and the provider would bill the other.
//
// So is the error if the body has more than maxNames names, or more messages and elements of
// their contents than maxElements: reading them would take the processor for seconds, and
// memory that no setting bounds.
func Scan(raw []byte, format *Format) (*Body, error) {
	o := outlineOf(raw)
	if o.names > maxNames {
		return nil, &Error{Reason: fmt.Sprintf("the body has more than %d names in its objects", maxNames)}
	}
	return scanOutline(o, format)
}

const (
	maxNames    = 500_000
	maxElements = 50_000
)

// errTooMany: the body has more than maxElements messages and parts.
var errTooMany = &Error{Reason: fmt.Sprintf("the body has more than %d messages and parts", maxElements)}

func scanOutline(o outline, format *Format) (*Body, error) {
	s := newScanner(&Body{outline: o, format: format})
	defer s.end()
	if s.decoder.PeekKind() != '{' {
		return nil, &Error{Reason: "the body is not a JSON object"}
	}
	if err := s.value(format.tree()); err != nil {
		if len(o.cuts) > 0 && errors.Is(err, jsontext.ErrDuplicateName) {
			// In a body that is no JSON, a string can stand in the place of a name. Without
			// its inside it looks like the empty name.
			return scanOutline(outline{raw: o.raw}, format)
		}
		return nil, s.failure(err)
	}
	if _, err := s.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, &Error{Reason: "the body has something after the JSON object"}
	}
	return s.body, nil
}

// scanner reads a body.
type scanner struct {
	body     *Body
	decoder  *jsontext.Decoder
	elements int // messages, and elements of their contents
}

// decoders are those that are not in use. A new one allocates much.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// newScanner returns a scanner of a body, which its caller ends.
func newScanner(b *Body) *scanner {
	decoder := decoders.Get().(*jsontext.Decoder)
	// A cut emoji leaves half a surrogate pair, which occurs in real chats.
	decoder.Reset(bytes.NewBuffer(b.text()), jsontext.AllowInvalidUTF8(true))
	return &scanner{body: b, decoder: decoder}
}

// maxReused is the size of the largest body whose decoder is used again, in bytes: a
// decoder keeps room for as many names as it had to compare.
const maxReused = 1 << 20

func (s *scanner) end() {
	if s.body.size() <= maxReused {
		s.decoder.Reset(bytes.NewBuffer(nil)) // so that it doesn't keep the body
		decoders.Put(s.decoder)
	}
}

// failure returns the error for clients.
func (s *scanner) failure(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Reason: "the body is not JSON"}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok, errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = "the body ends within a JSON value"
	case errors.Is(err, jsontext.ErrDuplicateName):
		e.Param = param(syntax.JSONPointer)
		e.Reason = fmt.Sprintf("%.200s is there more than once; parsers differ in which one counts", e.Param)
	default:
		e.Param = param(syntax.JSONPointer)
		e.Reason = fmt.Sprintf("the body is not JSON that can be passed on: at byte %d, %.200s", s.body.position(int(syntax.ByteOffset)), syntax.Err)
	}
	return e
}

// maxParam bounds the length of a place in an error, in bytes.
const maxParam = 200

// Param is a place in a body. Most are never written out.
type Param struct {
	pointer jsontext.Pointer
	path    string // below it, as in a Format
}

// String returns the place in the form of OpenAI's errors.
func (p Param) String() string {
	text := param(p.pointer)
	if p.path != "" {
		text += "." + strings.ReplaceAll(p.path, "/", ".")
	}
	return text
}

// param returns a pointer in the form of OpenAI's errors.
func param(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		switch {
		case b.Len() > maxParam:
			return b.String() + "…"
		case token != "" && strings.Trim(token, "0123456789") == "":
			fmt.Fprintf(&b, "[%s]", token)
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}

// value reads the next value, and looks into it as far as the node says.
func (s *scanner) value(n *node) error {
	kind := s.decoder.PeekKind()
	switch {
	case n.is == markModel && kind == '"':
		at, err := s.skip()
		if err == nil {
			s.body.Model, s.body.HasModel, s.body.model = string(s.body.unquote(at)), true, at
		}
		return err
	case n.is == markMessage && kind == '{':
		return s.message(n)
	case n.is == markPart && kind == '{':
		return s.part()
	case n.is == markRole && kind == '"':
		at, err := s.skip()
		if err == nil {
			s.last().role = string(s.body.unquote(at))
		}
		return err
	case n.is == markToolCalls && kind == '[':
		s.last().toolCalls = true
		return s.decoder.SkipValue()
	case kind == '{' && n.members != nil:
		return s.object(func(name []byte, _ span) error {
			if next := n.members[string(name)]; next != nil {
				return s.value(next)
			}
			return s.decoder.SkipValue()
		})
	case kind == '[' && n.element != nil:
		return s.list(n.element)
	}
	return s.decoder.SkipValue()
}

// last returns the message that is being read.
func (s *scanner) last() *message { return &s.body.messages[len(s.body.messages)-1] }

// skip reads the next value or name, and returns its place.
func (s *scanner) skip() (span, error) {
	raw, err := s.decoder.ReadValue()
	end := int(s.decoder.InputOffset())
	return span{s.body.position(end - len(raw)), s.body.position(end)}, err
}

// offset returns the position behind the last token.
func (s *scanner) offset() int { return s.body.position(int(s.decoder.InputOffset())) }

// object reads an object. It calls read for each member, which reads the value.
func (s *scanner) object(read func(name []byte, at span) error) error {
	if _, err := s.decoder.ReadToken(); err != nil {
		return err
	}
	for s.decoder.PeekKind() != '}' {
		at, err := s.skip()
		if err != nil {
			return err
		}
		if err := read(s.body.unquote(at), at); err != nil {
			return err
		}
	}
	_, err := s.decoder.ReadToken()
	return err
}

func (s *scanner) list(element *node) error {
	if _, err := s.decoder.ReadToken(); err != nil {
		return err
	}
	for s.decoder.PeekKind() != ']' {
		if s.elements++; s.elements > maxElements {
			return errTooMany
		}
		if err := s.value(element); err != nil {
			return err
		}
	}
	_, err := s.decoder.ReadToken()
	return err
}

// message reads a message.
func (s *scanner) message(n *node) error {
	index := len(s.body.messages)
	s.body.messages = append(s.body.messages, message{})
	begun := false
	err := s.object(func(name []byte, at span) error {
		if !begun {
			begun = true
			s.body.messages[index].start = s.before(at.start)
		}
		if next := n.members[string(name)]; next != nil {
			return s.value(next)
		}
		return s.decoder.SkipValue()
	})
	end := s.offset()
	if !begun {
		s.body.messages[index].start = s.before(end - 1)
	}
	s.body.messages[index].end = end
	return err
}

// before returns the position of the brace that opens the object whose first name, or
// whose end, is at a position.
func (s *scanner) before(at int) int { return bytes.LastIndexByte(s.body.raw[:at], '{') }

// part reads an element that may be a part, and keeps it if it names or contains a file.
func (s *scanner) part() error {
	members, at, err := s.members(2)
	if err != nil {
		return err
	}
	kind, ok := memberOf(members, "type")
	if !ok || kind.kind != '"' {
		return nil
	}
	rule, ok := s.body.format.typeOf(string(s.body.unquote(kind.value)))
	if !ok {
		return nil
	}
	s.body.Parts = append(s.body.Parts, Part{
		Param: Param{pointer: s.decoder.StackPointer()}, Type: rule.Type,
		span: at, message: len(s.body.messages) - 1, rule: rule, members: members, outline: s.body.outline,
	})
	return nil
}

// members reads an object, and those of its members that are objects down to a depth.
func (s *scanner) members(depth int) ([]member, span, error) {
	var members []member
	at := span{start: -1}
	err := s.object(func(name []byte, of span) error {
		if at.start < 0 {
			at.start = s.before(of.start)
		}
		m := member{name: name, kind: s.decoder.PeekKind()}
		var err error
		if m.kind == '{' && depth > 1 {
			m.members, m.value, err = s.members(depth - 1)
		} else {
			m.value, err = s.skip()
		}
		m.span = span{of.start, m.value.end}
		members = append(members, m)
		return err
	})
	at.end = s.offset()
	if at.start < 0 {
		at.start = s.before(at.end - 1)
	}
	return members, at, err
}
