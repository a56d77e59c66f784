package chatbody

import (
	"cmp"
	"errors"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Edit is a set of changes to a body.
type Edit struct {
	body    *Body
	changes []change
}

// change puts a text in the place of a span.
type change struct {
	span
	with []byte
}

// Edit begins a set of changes. The body itself stays as it is.
func (b *Body) Edit() *Edit { return &Edit{body: b} }

// SetModel changes the model's name. The same name changes no byte.
func (e *Edit) SetModel(name string) {
	if name != e.body.Model {
		e.changes = append(e.changes, change{e.body.model, quote(name)})
	}
}

// Replace puts a part, as JSON, in the place of another. If both have the same type, the
// members of the old part that say nothing of its file stay, such as detail and
// cache_control.
func (e *Edit) Replace(p Part, with []byte) error {
	text, err := p.merged(with)
	e.changes = append(e.changes, change{p.span, text})
	return err
}

// ReplaceText puts a part with a text in the place of another.
func (e *Edit) ReplaceText(p Part, text string) {
	with := append([]byte(`{"type":"text","text":`), quote(text)...)
	e.changes = append(e.changes, change{p.span, append(with, '}')})
}

// InsertMessage puts a message, as JSON, before the one that has the part. It never stands
// between a message with tool calls and their results, where providers refuse it, but
// before both.
func (e *Edit) InsertMessage(p Part, with []byte) {
	messages := e.body.messages
	i := p.message
	for i > 0 && messages[i].role == "tool" {
		i--
	}
	if messages[p.message].role == "tool" && !messages[i].toolCalls {
		i = p.message // results without calls, which the provider refuses by itself
	}
	at := messages[i].start
	e.changes = append(e.changes, change{span{at, at}, append(slices.Clone(with), ',')})
}

// Pieces returns the new body as pieces, one after the other, and its length. Most pieces
// share their bytes with the old one.
func (e *Edit) Pieces() (pieces [][]byte, size int64) {
	// Insertions come before the change of what stands there; several stay in order.
	slices.SortStableFunc(e.changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	add := func(piece []byte) {
		if len(piece) > 0 {
			pieces, size = append(pieces, piece), size+int64(len(piece))
		}
	}
	at := 0
	for _, c := range e.changes {
		add(e.body.raw[at:c.start])
		add(c.with)
		at = c.end
	}
	add(e.body.raw[at:])
	return pieces, size
}

// merged returns the text of a part that takes the place of p.
func (p Part) merged(with []byte) ([]byte, error) {
	own, err := membersOf(with)
	if err != nil {
		return nil, err
	}
	kind, ok := memberOf(own, "type")
	if !ok || kind.kind != '"' || string(outline{raw: with}.unquote(kind.value)) != p.Type {
		return with, nil
	}
	out := object{text: []byte{'{'}}
	placed := false
	for _, m := range p.members {
		switch {
		case string(m.name) == "type":
			out.add(p.outline.raw[m.start:m.end])
		case !p.rule.isCarrier(string(m.name)):
			if _, replaced := memberOf(own, string(m.name)); !replaced {
				out.add(p.outline.raw[m.start:m.end])
			}
		case !placed:
			placed = true
			p.addOwn(&out, with, own)
		}
	}
	return append(out.text, '}'), nil
}

// addOwn adds the members of the new part, but its type.
func (p Part) addOwn(out *object, with []byte, own []member) {
	for _, m := range own {
		old, ok := memberOf(p.members, string(m.name))
		switch {
		case string(m.name) == "type":
		case ok && m.kind == '{' && old.kind == '{':
			out.add(with[m.start:m.value.start])
			out.text = append(out.text, p.inner(with, m, old)...)
		default:
			out.add(with[m.start:m.end])
		}
	}
}

// inner returns an object of the new part, with those members of the old object that say
// nothing of the file.
func (p Part) inner(with []byte, fresh, old member) []byte {
	out := object{text: []byte{'{'}}
	for _, m := range fresh.members {
		out.add(with[m.start:m.end])
	}
	for _, m := range old.members {
		if _, replaced := memberOf(fresh.members, string(m.name)); !replaced && !p.rule.isSource(string(old.name)+"/"+string(m.name)) {
			out.add(p.outline.raw[m.start:m.end])
		}
	}
	return append(out.text, '}')
}

// object is the text of an object that is being written.
type object struct {
	text []byte
	open bool // a member has been added
}

// add adds a member.
func (o *object) add(member []byte) {
	if o.open {
		o.text = append(o.text, ',')
	}
	o.open = true
	o.text = append(o.text, member...)
}

// membersOf reads an object that the gateway itself puts into a request.
func membersOf(text []byte) ([]member, error) {
	s := newScanner(&Body{outline: outline{raw: text}})
	defer s.end()
	if s.decoder.PeekKind() != '{' {
		return nil, errors.New("the part is not a JSON object")
	}
	members, _, err := s.members(2)
	return members, err
}

// quote returns a text as a JSON string.
func quote(text string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, text) // invalid UTF-8 becomes U+FFFD
	return quoted
}
