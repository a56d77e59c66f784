package chatapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxHeld is how much of an answer is held until its end, in bytes.
const maxHeld = 256 << 10

// firstHeld is how much of it is read at first. It is more than a secret, so that no further
// buffer is needed to hide one.
const firstHeld = 4 << 10

// hold waits for the end of a short answer that is no stream, before the client's answer
// begins. So an answer that breaks off is an error that the client can read. A provider
// that sends spaces first, as a sign of life, has them passed at once.
func hold(answer *http.Response) error {
	mediaType, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
		return nil
	}
	body := answer.Body
	held := make([]byte, 0, firstHeld)
	var err error
	for err == nil && len(held) < maxHeld {
		if len(held) == cap(held) {
			held = append(held, 0)[:len(held)]
		}
		var n int
		n, err = body.Read(held[len(held):cap(held)])
		held = held[:len(held)+n]
		if len(held) > 0 && len(bytes.TrimLeft(held, " \t\r\n")) == 0 {
			break
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("its answer broke off after %d bytes: %w", len(held), err)
	}
	rest := io.Reader(bytes.NewReader(held))
	if err == nil {
		rest = io.MultiReader(rest, body)
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{rest, body}
	return nil
}
