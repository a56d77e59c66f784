package copyapi

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers/ledger"
)

// Next to reading blobs, ensuring a copy that is ready is the most frequent request.
// encoding/json takes a third of the time of it, so its answer is written here by hand;
// a test compares the two.

// copyBuffers hold answers while they are written.
var copyBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// sendReady answers 200 with a copy that is ready.
func sendReady(c echo.Context, made ledger.Copy, created bool) error {
	// Rare: an attempt to renew it has failed, or the token does not see all of it.
	if made.Error != nil || !request.StateOf(c).MayRead {
		answer := view.Copy(made)
		answer.Created = &created
		return respond.JSON(c, http.StatusOK, answer)
	}
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	*buffer = appendCopy((*buffer)[:0], &made, created)
	respond.BeginJSON(c)
	_, err := c.Response().Write(*buffer)
	return err
}

// appendCopy appends the JSON of a copy without an error, as an api.Copy.
func appendCopy(b []byte, c *ledger.Copy, created bool) []byte {
	b = append(b, `{"digest":"sha256:`...)
	b = hex.AppendEncode(b, c.Digest[:])
	b = append(b, '"')
	b = appendText(b, `,"provider":`, c.Provider)
	b = appendText(b, `,"account":`, c.Account)
	b = appendText(b, `,"purpose":`, c.Purpose)
	b = appendOptionalText(b, `,"extension":`, c.Extension)
	b = appendText(b, `,"state":`, string(c.State))
	b = appendOptionalText(b, `,"provider_file_id":`, c.FileID)
	b = appendOptionalText(b, `,"name":`, c.Name)
	b = strconv.AppendInt(append(b, `,"size":`...), c.Size, 10)
	b = appendTime(b, `,"created_at":`, c.CreatedAt)
	b = appendOptionalTime(b, `,"ready_at":`, c.ReadyAt)
	b = appendOptionalTime(b, `,"last_used_at":`, c.LastUsedAt)
	b = appendOptionalTime(b, `,"expires_at":`, c.ExpiresAt)
	b = appendOptionalTime(b, `,"next_attempt_at":`, c.NextAttemptAt)
	b = strconv.AppendInt(append(b, `,"attempts":`...), int64(c.Attempts), 10)
	b = appendOptionalText(b, `,"operation_id":`, c.OperationID)
	b = strconv.AppendBool(append(b, `,"created":`...), created)
	if view.IsSimulated(c) {
		b = append(b, `,"simulated":true`...)
	}
	return append(b, "}\n"...)
}

func appendOptionalText(b []byte, field, text string) []byte {
	if text == "" {
		return b
	}
	return appendText(b, field, text)
}

func appendText(b []byte, field, text string) []byte {
	b = append(b, field...)
	if strings.IndexFunc(text, needsEscape) < 0 {
		return append(append(append(b, '"'), text...), '"')
	}
	escaped, err := json.Marshal(text)
	if err != nil {
		panic(err) // any string can be marshalled
	}
	return append(b, escaped...)
}

// needsEscape reports whether encoding/json may escape a character.
func needsEscape(r rune) bool {
	return r < ' ' || r > '~' || r == '"' || r == '\\' || r == '<' || r == '>' || r == '&'
}

func appendOptionalTime(b []byte, field string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendTime(b, field, t)
}

func appendTime(b []byte, field string, t time.Time) []byte {
	b = append(append(b, field...), '"')
	return append(t.UTC().AppendFormat(b, time.RFC3339Nano), '"')
}
