package gateway

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/providers"
)

// An ensure of a copy that is ready is what a gateway is asked for most, beside
// blobs. encoding/json takes a third of the time of such a request, so its answer
// is written here by hand; a test sees to it that it is the same.

// copyBuffers are for answers on their way.
var copyBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// What these headers' values always are.
var (
	jsonType = []string{echo.MIMEApplicationJSON}
	noStored = []string{"no-store"}
)

// sendCopy answers 200 with a copy that is ready.
func sendCopy(c echo.Context, made providers.Copy, created bool) error {
	if made.Error != nil { // of an attempt to renew it, which is rare
		answer := apiCopy(made)
		answer.Created = &created
		return noStore(c, http.StatusOK, answer)
	}
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	*buffer = appendCopy((*buffer)[:0], &made, created)
	h := exchangeOf(c).Header()
	h[echo.HeaderContentType], h[echo.HeaderCacheControl] = jsonType, noStored
	response := c.Response()
	response.WriteHeader(http.StatusOK)
	_, err := response.Write(*buffer)
	return err
}

// appendCopy appends the JSON of a copy without an error, as an api.Copy.
func appendCopy(b []byte, c *providers.Copy, created bool) []byte {
	b = append(b, `{"digest":"sha256:`...)
	b = hex.AppendEncode(b, c.Digest[:])
	b = append(b, '"')
	b = appendText(b, `,"provider":`, c.Provider)
	b = appendText(b, `,"account":`, c.Account)
	b = appendText(b, `,"purpose":`, c.Purpose)
	b = appendTextIfAny(b, `,"extension":`, c.Extension)
	b = appendText(b, `,"state":`, string(c.State))
	b = appendTextIfAny(b, `,"provider_file_id":`, c.FileID)
	b = appendTextIfAny(b, `,"name":`, c.Name)
	b = strconv.AppendInt(append(b, `,"size":`...), c.Size, 10)
	b = appendTime(b, `,"created_at":`, c.CreatedAt)
	b = appendTimeIfAny(b, `,"ready_at":`, c.ReadyAt)
	b = appendTimeIfAny(b, `,"last_used_at":`, c.LastUsedAt)
	b = appendTimeIfAny(b, `,"expires_at":`, c.ExpiresAt)
	b = appendTimeIfAny(b, `,"next_attempt_at":`, c.NextAttemptAt)
	b = strconv.AppendInt(append(b, `,"attempts":`...), int64(c.Attempts), 10)
	b = appendTextIfAny(b, `,"operation_id":`, c.OperationID)
	b = strconv.AppendBool(append(b, `,"created":`...), created)
	if isSimulatedCopy(c) {
		b = append(b, `,"simulated":true`...)
	}
	return append(b, "}\n"...)
}

func appendTextIfAny(b []byte, field, text string) []byte {
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

// needsEscape reports whether encoding/json might write a character otherwise.
func needsEscape(r rune) bool {
	return r < ' ' || r > '~' || r == '"' || r == '\\' || r == '<' || r == '>' || r == '&'
}

func appendTimeIfAny(b []byte, field string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendTime(b, field, t)
}

func appendTime(b []byte, field string, t time.Time) []byte {
	b = append(append(b, field...), '"')
	return append(t.UTC().AppendFormat(b, time.RFC3339Nano), '"')
}
