package fileapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
)

// createFromBlob creates a file of a blob that is there, without its bytes. If they are
// needed, the error wraps cas.ErrBlobNotFound.
func (h *Handlers) createFromBlob(c echo.Context) error {
	fields, err := h.newFields(c)
	if err != nil {
		return err
	}
	key, err := request.ReadIdempotencyKey(c)
	if err != nil {
		return err
	}
	var described api.FileFromBlob
	if err := request.JSON(c, &described); err != nil {
		return err
	}
	if described.Digest == nil {
		return problem.WithParam("digest", problem.BadRequest("digest is missing; send that of a blob, or the bytes in multipart/form-data"))
	}
	if err := fields.setAll(described); err != nil {
		return err
	}
	if err := fields.checkComplete(); err != nil {
		return err
	}
	d := *described.Digest
	request.StateOf(c).Record.Digest = d
	// A digest proves nothing about the bytes, so without the scope read the answer is the
	// same whether the blob is there or not.
	if !request.StateOf(c).MayRead {
		return fmt.Errorf("%w: %s can't be told from a missing blob by a token without the scope read; send the bytes", cas.ErrBlobNotFound, d)
	}
	file, err := h.Files.CreateFromBlob(c.Request().Context(), d, fields.newFile("", key))
	answer, err := h.created(c, file, fields.copiesAt, err)
	if err != nil {
		return problem.WithBlob(err, d)
	}
	return respond.JSON(c, http.StatusOK, answer)
}

// setAll sets the fields that JSON describes.
func (f *fields) setAll(d api.FileFromBlob) error {
	type field struct{ name, value string }
	given := []field{{"filename", d.Filename}, {"purpose", d.Purpose}, {"media_type", d.MediaType}, {"context", d.Context}, {"on_expiry", d.OnExpiry}}
	if metadata := string(d.Metadata); metadata != "null" {
		given = append(given, field{"metadata", metadata})
	}
	if d.ExpiresAfter != nil {
		given = append(given, field{"expires_after[anchor]", d.ExpiresAfter.Anchor}, field{"expires_after[seconds]", strconv.FormatInt(d.ExpiresAfter.Seconds, 10)})
	}
	if d.AllowDuplicates != nil {
		given = append(given, field{"allow_duplicates", strconv.FormatBool(*d.AllowDuplicates)})
	}
	given = append(given, field{"providers", strings.Join(d.Providers, ",")})
	for _, g := range given {
		if g.value == "" {
			continue
		}
		if err := f.set(g.name, g.value); err != nil {
			return err
		}
	}
	f.file.Tags = append(f.file.Tags, d.Tags...) // a comma within one is refused
	if !f.seen["filename"] {
		return problem.WithParam("filename", problem.BadRequest("filename is missing"))
	}
	return problem.WithParam("tags", f.check())
}
