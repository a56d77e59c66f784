package blobapi

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// pageSize is the number of blobs on a page.
var pageSize = request.IntRange{Default: 100, Min: 1, Max: 1000}

var blobSize = request.IntRange{Min: 0, Max: cas.MaxBlobSize}

// List answers GET /v1/blobs.
func (h *Handlers) List(c echo.Context) error {
	if err := request.CheckOnce(c); err != nil {
		return err
	}
	limit, err := request.Int(c, "limit", pageSize)
	if err != nil {
		return err
	}
	if c.QueryParams().Has("digest_prefix") {
		return h.listPrefix(c, int(limit))
	}
	q, err := blobQuery(c)
	if err != nil {
		return err
	}
	q.Limit = int(limit) + 1 // to know whether there is a next page
	blobs, next, err := h.Store.ListSome(c.Request().Context(), q)
	if err != nil {
		return err
	}
	page := api.BlobPage{Blobs: make([]api.Blob, 0, len(blobs))}
	if int64(len(blobs)) > limit {
		blobs = blobs[:limit]
		last := blobs[limit-1]
		next = cas.Cursor{CreatedAt: last.CreatedAt, Digest: last.Digest}
	}
	if next != (cas.Cursor{}) {
		page.Next = formatCursor(next)
	}
	for _, b := range blobs {
		page.Blobs = append(page.Blobs, view.Blob(b, h.URLs))
	}
	return respond.JSON(c, http.StatusOK, page)
}

// hexPrefix matches a beginning of a digest that is long enough to ask for.
var hexPrefix = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// listPrefix answers with the blobs whose digests begin with some hex digits.
func (h *Handlers) listPrefix(c echo.Context, limit int) error {
	digits := c.QueryParam("digest_prefix")
	if !hexPrefix.MatchString(digits) {
		return request.BadParam("digest_prefix", "8 to 64 lower-case hex digits are needed, without sha256:")
	}
	for _, other := range []string{"after", "media_type", "min_size", "max_size"} {
		if c.QueryParams().Has(other) {
			return request.BadParam("digest_prefix", "it can't be combined with "+other)
		}
	}
	first, last, err := cas.DigestsFrom(digits)
	if err != nil {
		return err
	}
	blobs, err := h.Store.WithPrefix(c.Request().Context(), first, last, limit)
	if err != nil {
		return err
	}
	page := api.BlobPage{Blobs: make([]api.Blob, 0, len(blobs))}
	for _, b := range blobs {
		page.Blobs = append(page.Blobs, view.Blob(b, h.URLs))
	}
	return respond.JSON(c, http.StatusOK, page)
}

// blobQuery reads the filters of a list.
func blobQuery(c echo.Context) (q cas.Query, err error) {
	q.MediaType = c.QueryParam("media_type")
	if err := cas.CheckText("media_type", q.MediaType); err != nil {
		return q, problem.WithParam("media_type", problem.BadRequest(err.Error()))
	}
	if q.After, err = parseCursor(c.QueryParam("after")); err != nil {
		return q, err
	}
	if q.MinSize, err = request.Int(c, "min_size", blobSize); err != nil {
		return q, err
	}
	if c.QueryParams().Has("max_size") {
		most, err := request.Int(c, "max_size", blobSize)
		if err != nil {
			return q, err
		}
		q.MaxSize = &most
	}
	return q, nil
}

// A cursor is a creation time in microseconds and a digest; clients don't look into
// it.
const cursorLen = 8 + len(cas.Digest{})

func formatCursor(last cas.Cursor) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(last.CreatedAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, last.Digest[:]...))
}

var errCursor = request.BadParam("after", "this is not a cursor; pass the `next` of the page before")

func parseCursor(s string) (cas.Cursor, error) {
	if s == "" {
		return cas.Cursor{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != cursorLen {
		return cas.Cursor{}, errCursor
	}
	cursor := cas.Cursor{CreatedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()}
	copy(cursor.Digest[:], b[8:])
	if year := cursor.CreatedAt.Year(); year < 1970 || year > 9999 {
		return cas.Cursor{}, errCursor
	}
	return cursor, nil
}
