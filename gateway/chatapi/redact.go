package chatapi

import (
	"bytes"
	"io"
	"net/http"
)

// minSecret is the length of the shortest text that counts as a credential.
const minSecret = 8

// secrets are texts that must not reach the client: the credential.
type secrets [][]byte

// hide replaces the secrets in a text by texts of the same length. It returns the length
// of the beginning that is finished. The rest is the beginning of a secret, which may go
// on in later bytes; at the end there are none.
func (s secrets) hide(text []byte, end bool) int {
	at := 0
	for {
		found, size := s.find(text[at:])
		if !end {
			if begun := s.begun(text[at:]); begun >= 0 && (size == 0 || begun <= found) {
				return at + begun
			}
		}
		if size == 0 {
			return len(text)
		}
		mask(text[at+found : at+found+size])
		at += found + size
	}
}

// find returns the place and the length of the first secret in a text. Its length is 0 if
// there is none. Of several in one place, it is the longest.
func (s secrets) find(text []byte) (at, size int) {
	for _, secret := range s {
		i := bytes.Index(text, secret)
		if i >= 0 && (size == 0 || i < at || i == at && len(secret) > size) {
			at, size = i, len(secret)
		}
	}
	return at, size
}

// begun returns where the last bytes of a text begin a secret without its end, or -1.
func (s secrets) begun(text []byte) int {
	for i := max(0, len(text)-s.longest()+1); i < len(text); i++ {
		for _, secret := range s {
			if rest := text[i:]; len(rest) < len(secret) && bytes.HasPrefix(secret, rest) {
				return i
			}
		}
	}
	return -1
}

func (s secrets) longest() int {
	longest := 0
	for _, secret := range s {
		longest = max(longest, len(secret))
	}
	return longest
}

// mask writes over a secret.
func mask(secret []byte) {
	for i := copy(secret, "(hidden)"); i < len(secret); i++ {
		secret[i] = '*'
	}
}

// hideIn removes the secrets from a header.
func (s secrets) hideIn(h http.Header) {
	for _, values := range h {
		for i, value := range values {
			if text := []byte(value); len(s) > 0 {
				s.hide(text, true)
				values[i] = string(text)
			}
		}
	}
}

// reader returns a reader of the same bytes without the secrets.
func (s secrets) reader(from io.Reader) io.Reader {
	if len(s) == 0 {
		return from
	}
	return &redactor{from: from, secrets: s, least: 2 * s.longest()}
}

// redactor hides secrets in what it reads. It holds back only bytes that may begin a
// secret, so no event of a stream waits for the next one.
type redactor struct {
	from    io.Reader
	secrets secrets
	least   int    // length of the shortest slice that is read into without a buffer
	held    []byte // was read, and may begin a secret
	ready   []byte // of the buffer: not returned yet
	buffer  []byte
	err     error
}

// redactBuffer is the size of the buffer for readers that take a few bytes at a time.
const redactBuffer = 4 << 10

// Read implements io.Reader.
func (r *redactor) Read(p []byte) (int, error) {
	if len(r.ready) == 0 {
		if r.err != nil || len(p) >= r.least {
			return r.read(p)
		}
		if r.buffer == nil {
			r.buffer = make([]byte, max(redactBuffer, r.least))
		}
		n, err := r.read(r.buffer)
		if n == 0 {
			return 0, err
		}
		r.ready = r.buffer[:n]
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	if len(r.ready) == 0 {
		return n, r.err
	}
	return n, nil
}

// read reads until some bytes are finished. The slice has room for more than a secret.
func (r *redactor) read(p []byte) (int, error) {
	for r.err == nil {
		held := copy(p, r.held)
		n, err := r.from.Read(p[held:])
		text := p[:held+n]
		r.err = err
		finished := r.secrets.hide(text, err != nil)
		r.held = append(r.held[:0], text[finished:]...)
		if finished > 0 {
			return finished, r.err
		}
	}
	return 0, r.err
}
