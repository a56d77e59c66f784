package kimi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"casgate/providers"
)

const (
	// textHead is how many bytes of an answer decide about its format. textTail is how many
	// bytes may follow the text.
	textHead = 64 << 10
	textTail = 64 << 10
)

// TextPurpose implements providers.TextExtractor.
func (p *Provider) TextPurpose() string { return purposeExtract }

// Text implements providers.TextExtractor. It streams, since a text may have tens of
// megabytes.
func (p *Provider) Text(ctx context.Context, id string) (io.ReadCloser, error) {
	body, mediaType, err := p.TextContent(ctx, id)
	if err != nil {
		return nil, err
	}
	a, err := readAnswer(body)
	if err == nil {
		err = p.checkPlain(ctx, id, mediaType, a.form)
	}
	if err != nil {
		err = errors.Join(p.textFailure(err), body.Close())
		return nil, err
	}
	return &textBody{text: a.text, body: body, p: p}, nil
}

// checkPlain returns an error if an answer is a page or a JSON value, such as that of a
// proxy, in place of a text. The text of a file that is HTML or JSON itself may look like
// that, so checkPlain then asks for the file's name.
func (p *Provider) checkPlain(ctx context.Context, id, mediaType string, f form) error {
	var own string // the extension of a file with such a text
	switch {
	case f == wrapped:
		return nil
	case mediaType == "text/html":
		own = ".html"
	case f == otherJSON:
		own = ".json"
	default:
		return nil
	}
	file, err := p.Lookup(ctx, providers.OpText, id)
	if err != nil {
		return err
	}
	if providers.Extension(file.Name, "") != own {
		return errNotText
	}
	return nil
}

var errNotText = errors.New("the provider answered something that is no text")

// textBody is the stream of an extracted text.
type textBody struct {
	text io.Reader
	body io.Closer
	p    *Provider

	visible bool   // a visible character was read
	partial []byte // the beginning of a character, from the last Read
}

// Read implements io.Reader. The end of a text without a visible character is an error.
func (b *textBody) Read(p []byte) (int, error) {
	n, err := b.text.Read(p)
	b.look(p[:n])
	switch {
	case err == io.EOF && !b.visible:
		err = b.p.noText()
	case err != nil && err != io.EOF:
		err = b.p.textFailure(err)
	}
	return n, err
}

// look sets visible if a part of the text has a visible character.
func (b *textBody) look(part []byte) {
	if b.visible {
		return
	}
	b.partial = append(b.partial, part...)
	for utf8.FullRune(b.partial) {
		r, size := utf8.DecodeRune(b.partial)
		if !unicode.IsSpace(r) && !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r) {
			b.visible, b.partial = true, nil
			return
		}
		b.partial = b.partial[size:]
	}
}

// noText is the error of a text without a visible character. At an upload, Kimi itself
// says so of most such documents, but not of all.
func (p *Provider) noText() error {
	err := p.Refuse(providers.OpText, providers.CodeNoText, "found no text in the file", nil)
	if e, ok := errors.AsType[*providers.Error](err); ok {
		e.Hint = noTextHint
	}
	return err
}

const noTextHint = "a scan without recognised text, an empty document and a picture have none; send its pages as pictures, or use another purpose"

func (b *textBody) Close() error { return b.body.Close() }

// textFailure makes an *Error of a wrong answer. An error of the connection is an *Error
// already.
func (p *Provider) textFailure(err error) error {
	if _, said := errors.AsType[*providers.Error](err); said {
		return err
	}
	return p.BadAnswer(providers.OpText, http.StatusOK, err.Error())
}

// answer is an answer for an extracted document.
type answer struct {
	text io.Reader // in UTF-8
	form form
}

// form is the form of an answer.
type form int

const (
	plain     form = iota // text as it stands
	wrapped               // Kimi's object
	otherJSON             // another object or array, perhaps cut off
)

// formOf returns the form of an answer that is not wrapped.
func formOf(head []byte) form {
	if start := bytes.TrimLeft(head, " \t\r\n"); len(start) == 0 || start[0] != '{' && start[0] != '[' {
		return plain
	}
	decoder := json.NewDecoder(bytes.NewReader(head))
	var value json.RawMessage
	err := decoder.Decode(&value)
	if err == nil && len(bytes.TrimSpace(head[decoder.InputOffset():])) == 0 || errors.Is(err, io.ErrUnexpectedEOF) {
		return otherJSON
	}
	return plain
}

// readAnswer reads the beginning of the answer for an extracted document. The documentation promises plain text [D]; the real answer is
//
//	{"content":"…","file_type":"application/pdf","filename":"…","title":"…","type":"file"}
//
// with the text in content [C][L]. The reader understands both. Invalid UTF-8 becomes
// U+FFFD.
func readAnswer(body io.Reader) (answer, error) {
	src := bufio.NewReaderSize(body, textHead)
	// A read error comes again with the next Peek.
	if mark, err := src.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		if _, err := src.Discard(len(mark)); err != nil {
			return answer{}, err
		}
	}
	head, err := src.Peek(textHead)
	if err != nil && err != io.EOF {
		return answer{}, err
	}
	if noContent(head) {
		return answer{strings.NewReader(""), wrapped}, nil
	}
	start, found := contentStart(head)
	if !found {
		return answer{&textReader{src: src, next: plainRune}, formOf(head)}, nil
	}
	if _, err := src.Discard(start); err != nil {
		return answer{}, err
	}
	return answer{&textReader{src: src, next: quotedRune}, wrapped}, nil
}

const byteOrderMark = "\uFEFF"

// noContent reports whether an answer is the whole object that has the text, with null
// in place of the text.
func noContent(head []byte) bool {
	var answer map[string]json.RawMessage
	if json.Unmarshal(head, &answer) != nil || string(answer["content"]) != "null" {
		return false
	}
	for name := range answer {
		if name != "content" && !slices.Contains(otherNames, name) {
			return false
		}
	}
	return true
}

// otherNames are the names in Kimi's answer beside "content".
var otherNames = []string{"file_type", "filename", "title", "type"}

// contentStart returns the offset of the text, after the opening quote of the string
// "content". Found is false if the answer isn't such an object: only Kimi's names may
// come before the text.
func contentStart(head []byte) (start int, found bool) {
	decoder := json.NewDecoder(bytes.NewReader(head))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return 0, false
	}
	for {
		name, err := decoder.Token()
		if err != nil {
			return 0, false
		}
		if name == "content" {
			at := int(decoder.InputOffset())
			rest := bytes.TrimLeft(head[at:], " \t\r\n")
			rest, colon := bytes.CutPrefix(rest, []byte(":"))
			rest, quote := bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(`"`))
			return len(head) - len(rest), colon && quote
		}
		if text, ok := name.(string); !ok || !slices.Contains(otherNames, text) {
			return 0, false
		}
		if value, err := decoder.Token(); err != nil || value == json.Delim('{') || value == json.Delim('[') {
			return 0, false
		}
	}
}

// textReader reads characters from src with next, which returns io.EOF at the end of the
// text.
type textReader struct {
	src     *bufio.Reader
	next    func(*bufio.Reader) (rune, error)
	pending []byte // rest of a character that didn't fit
	err     error
}

// Read implements io.Reader.
func (t *textReader) Read(p []byte) (int, error) {
	n := copy(p, t.pending)
	t.pending = t.pending[n:]
	for t.err == nil && n < len(p) {
		if n > 0 && t.src.Buffered() == 0 {
			break // return the available bytes before waiting for more
		}
		var r rune
		if r, t.err = t.next(t.src); t.err != nil {
			break
		}
		var encoded [utf8.UTFMax]byte
		size := utf8.EncodeRune(encoded[:], r)
		copied := copy(p[n:], encoded[:size])
		n += copied
		t.pending = append(t.pending[:0], encoded[copied:size]...)
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, t.err
}

func plainRune(src *bufio.Reader) (rune, error) {
	r, _, err := src.ReadRune() // U+FFFD for invalid UTF-8
	return r, err
}

// quotedRune reads a character of a JSON string. After the closing quote it checks that
// the object is complete: otherwise the answer was cut off.
func quotedRune(src *bufio.Reader) (rune, error) {
	r, _, err := src.ReadRune()
	switch {
	case err == io.EOF:
		return 0, errCutOff
	case err != nil:
		return 0, err
	case r == '"':
		return 0, closeObject(src)
	case r != '\\':
		return r, nil
	}
	escape, _, err := src.ReadRune()
	if err != nil {
		return 0, notEOF(err)
	}
	if meant, ok := escapes[escape]; ok {
		return meant, nil
	}
	if escape != 'u' {
		return 0, fmt.Errorf("the text has the escape %q, which JSON doesn't have", escape)
	}
	first, err := hexRune(src)
	if err != nil || !utf16.IsSurrogate(first) {
		return first, err
	}
	// The second half of a surrogate pair must follow; one half alone is not a character.
	if following, err := src.Peek(2); err != nil || string(following) != `\u` {
		if err != nil {
			err = notEOF(err)
		}
		return utf8.RuneError, err
	}
	digits, err := src.Peek(6)
	if err != nil {
		return 0, notEOF(err)
	}
	second, err := strconv.ParseUint(string(digits[2:]), 16, 16)
	if err != nil {
		return 0, errEscape
	}
	both := utf16.DecodeRune(first, rune(second))
	if both == utf8.RuneError {
		return both, nil // the second one is a character of its own
	}
	_, err = src.Discard(6)
	return both, err
}

var (
	errCutOff = errors.New("the text was cut off")
	errEscape = errors.New(`the text has a \u without four digits`)
	escapes   = map[rune]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}
)

// notEOF turns an early end into errCutOff.
func notEOF(err error) error {
	if err == io.EOF {
		return errCutOff
	}
	return err
}

func hexRune(src *bufio.Reader) (rune, error) {
	var digits [4]byte
	if _, err := io.ReadFull(src, digits[:]); err != nil {
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		return 0, notEOF(err)
	}
	n, err := strconv.ParseUint(string(digits[:]), 16, 16)
	if err != nil {
		return 0, errEscape
	}
	return rune(n), nil
}

// closeObject reads the bytes after the text. It returns io.EOF if they complete the
// object.
func closeObject(src *bufio.Reader) error {
	rest, err := io.ReadAll(io.LimitReader(src, textTail+1))
	switch {
	case err != nil:
		return err
	case len(rest) > textTail:
		return errors.New("too much follows the text")
	case !json.Valid(slices.Concat([]byte(`{"":""`), rest)):
		return errCutOff
	}
	return io.EOF
}
