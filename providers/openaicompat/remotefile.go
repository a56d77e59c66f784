package openaicompat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"casgate/providers"
)

// maxID is the maximum length of a provider's file id, in bytes.
const maxID = 255

// Lookup asks the provider for one file.
func (c *Client) Lookup(ctx context.Context, op providers.Op, id string) (providers.RemoteFile, error) {
	if err := c.checkID(op, id); err != nil {
		return providers.RemoteFile{}, err
	}
	status, body, err := c.call(ctx, safeCall{op: op, method: http.MethodGet, path: "/files/" + url.PathEscape(id), limit: maxAnswer})
	if err != nil {
		return providers.RemoteFile{}, err
	}
	file, err := c.file(op, status, body)
	if err == nil && file.ID != id {
		return providers.RemoteFile{}, c.BadAnswer(op, status, fmt.Sprintf("the answer is about the file %q", file.ID))
	}
	return file, err
}

// typeDeleted is the type of Anthropic's answer to a delete, which has no "deleted".
const typeDeleted = "file_deleted"

// Delete implements providers.Provider.
func (c *Client) Delete(ctx context.Context, id string) error {
	if err := c.checkID(providers.OpDelete, id); err != nil {
		return err
	}
	status, body, err := c.call(ctx, safeCall{op: providers.OpDelete, method: http.MethodDelete, path: "/files/" + url.PathEscape(id), limit: maxAnswer})
	if err != nil || status == http.StatusNoContent {
		return err
	}
	var answer struct {
		Deleted *bool           `json:"deleted"`
		ID      json.RawMessage `json:"id"`
		Type    json.RawMessage `json:"type"`
	}
	switch err := json.Unmarshal(body, &answer); {
	case err == nil && loose(answer.Type) == typeDeleted && fileID(answer.ID) == id:
		return nil
	case err != nil || answer.Deleted == nil:
		return c.BadAnswer(providers.OpDelete, status, "the answer doesn't say that the file was deleted")
	case !*answer.Deleted:
		// No provider documents this answer. Assumed: there was nothing to delete, since a
		// failure would have been an error. The code says that a caller must ask.
		return c.failure(providers.Error{
			Op: providers.OpDelete, Kind: providers.KindLost, Status: status, Code: providers.CodeNotDeleted,
			Message: "the provider says that it deleted nothing",
		})
	}
	return nil
}

// checkID returns KindLost for a text that can't be the id of a file: no provider
// knows such a file.
func (c *Client) checkID(op providers.Op, id string) error {
	if usableID(id) {
		return nil
	}
	return c.failure(providers.Error{Op: op, Kind: providers.KindLost, Code: "invalid_id", Message: fmt.Sprintf("%.50q is not the id of a file", id)})
}

// usableID reports whether a text can be an id, and can be part of a path.
func usableID(id string) bool {
	if id == "" || len(id) > maxID || id == "." || id == ".." || !utf8.ValidString(id) {
		return false
	}
	for _, r := range id {
		if !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}

// fileObject is a remote file in JSON. All fields but the id may have any type: the
// id of an uploaded file must not get lost because another field has an odd type.
type fileObject struct {
	ID       json.RawMessage `json:"id"`
	Filename json.RawMessage `json:"filename"`
	// Some of GLM's answers have fileName instead of filename.
	FileName      json.RawMessage `json:"fileName"`
	Bytes         json.RawMessage `json:"bytes"`
	Size          json.RawMessage `json:"size"`
	SizeBytes     json.RawMessage `json:"size_bytes"`
	Purpose       json.RawMessage `json:"purpose"`
	CreatedAt     json.RawMessage `json:"created_at"`
	ExpiresAt     json.RawMessage `json:"expires_at"`
	Status        json.RawMessage `json:"status"`
	StatusDetails json.RawMessage `json:"status_details"`
}

// file reads an answer that describes one file.
func (c *Client) file(op providers.Op, status int, body []byte) (providers.RemoteFile, error) {
	if !isObject(body) {
		return providers.RemoteFile{}, c.BadAnswer(op, status, "the answer is not a JSON object")
	}
	var object fileObject
	if err := json.Unmarshal(body, &object); err != nil {
		return providers.RemoteFile{}, c.BadAnswer(op, status, "the answer is not valid JSON")
	}
	file := c.remoteFile(object)
	if !usableID(file.ID) {
		return providers.RemoteFile{}, c.BadAnswer(op, status, "the answer has no file id")
	}
	return file, nil
}

// fileID returns an id, which is a string or a number. It is empty for other types.
func fileID(value json.RawMessage) string {
	text := loose(value)
	if bytes.HasPrefix(value, []byte(`"`)) || whole(value) > 0 {
		return text
	}
	return ""
}

func (c *Client) remoteFile(o fileObject) providers.RemoteFile {
	file := providers.RemoteFile{
		ID:        fileID(o.ID),
		Name:      cmp.Or(loose(o.Filename), loose(o.FileName)),
		Size:      cmp.Or(whole(o.Bytes), whole(o.SizeBytes), whole(o.Size)),
		Purpose:   loose(o.Purpose),
		CreatedAt: moment(o.CreatedAt),
		ExpiresAt: moment(o.ExpiresAt),
		Status:    c.dialect.Status(strings.ToLower(loose(o.Status))),
		Detail:    c.redactor.text(loose(o.StatusDetails), maxMessage),
	}
	if file.Status == providers.StatusFailed && c.dialect.FailureCode != nil {
		file.Code = c.dialect.FailureCode(file.Detail)
	}
	if c.api.onePurpose() {
		file.Purpose = c.description.Purposes[0].Name
	}
	if life := c.purpose(file.Purpose).Lifetime(); file.ExpiresAt.IsZero() && !file.CreatedAt.IsZero() && life > 0 {
		file.ExpiresAt = file.CreatedAt.Add(life)
	}
	return file
}

// completed adds the fields that the answer to an upload doesn't have.
func (c *Client) completed(file providers.RemoteFile, u providers.Upload) providers.RemoteFile {
	file.Name = cmp.Or(file.Name, u.Name)
	file.Size = cmp.Or(file.Size, u.Size)
	file.Purpose = cmp.Or(file.Purpose, u.Purpose)
	if life := c.purpose(file.Purpose).Lifetime(); file.ExpiresAt.IsZero() && life > 0 {
		file.ExpiresAt = cmp.Or(file.CreatedAt, time.Now().UTC()).Add(life)
	}
	return file
}

// whole reads a JSON number, or a number in a string. Anything else is 0.
func whole(value json.RawMessage) int64 {
	text := loose(value)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return max(n, 0)
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n < 1<<62 {
		return int64(n)
	}
	return 0
}

// moment reads a time in Unix seconds or milliseconds, or in the format of RFC 3339.
// Anything else is the zero time.
func moment(value json.RawMessage) time.Time {
	if seconds := whole(value); seconds > 0 {
		const year9999 = 253402300799 // a greater number is in milliseconds
		if seconds > year9999 {
			return time.UnixMilli(seconds).UTC()
		}
		return time.Unix(seconds, 0).UTC()
	}
	at, err := time.Parse(time.RFC3339, loose(value))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
