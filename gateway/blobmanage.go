package gateway

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
)

const (
	defaultPage = 100
	maxPage     = 1000
	// maxJSON bounds a JSON request; a full find-missing has about 80 KB.
	maxJSON = 256 << 10
)

func (g *Gateway) apiBlob(b cas.Blob) api.Blob {
	return api.Blob{
		Digest:    b.Digest,
		Size:      b.Size,
		MediaType: b.MediaType,
		Name:      b.Name,
		CreatedAt: b.CreatedAt.UTC(),
		URL:       g.hashURL(b.Digest),
	}
}

// deleteBlob answers DELETE /v1/blobs/{digest}.
func (g *Gateway) deleteBlob(c echo.Context) error {
	d, err := digestParam(c)
	if err != nil {
		return err
	}
	force, err := boolParam(c, "force")
	if err != nil {
		return err
	}
	everywhere, err := boolParam(c, "everywhere")
	if err != nil {
		return err
	}
	if everywhere {
		return g.deleteBlobEverywhere(c, d, force)
	}
	if err := g.store.Delete(c.Request().Context(), d, force); err != nil {
		return notFoundDetail(err, d)
	}
	return noStore(c, http.StatusAccepted, api.Deleted{Digest: d, State: cas.StateCondemned})
}

// listBlobs answers GET /v1/blobs.
func (g *Gateway) listBlobs(c echo.Context) error {
	limit, err := intParam(c, "limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	after, err := parseCursor(c.QueryParam("after"))
	if err != nil {
		return err
	}
	q := cas.Query{Limit: int(limit) + 1, After: after, MediaType: c.QueryParam("media_type")}
	if q.MinSize, err = intParam(c, "min_size", 0, 0, cas.MaxBlobSize); err != nil {
		return err
	}
	if c.QueryParams().Has("max_size") {
		most, err := intParam(c, "max_size", 0, 0, cas.MaxBlobSize)
		if err != nil {
			return err
		}
		q.MaxSize = &most
	}
	blobs, err := g.store.List(c.Request().Context(), q)
	if err != nil {
		return err
	}
	page := api.BlobPage{Blobs: make([]api.Blob, 0, len(blobs))}
	if int64(len(blobs)) > limit {
		// One more than asked for was read, to know whether there is a next page.
		blobs = blobs[:limit]
		page.Next = formatCursor(blobs[limit-1])
	}
	for _, b := range blobs {
		page.Blobs = append(page.Blobs, g.apiBlob(b))
	}
	return noStore(c, http.StatusOK, page)
}

// A cursor is a creation time in microseconds and a digest, for clients opaque.
const cursorLen = 8 + len(cas.Digest{})

func formatCursor(last cas.Blob) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(last.CreatedAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, last.Digest[:]...))
}

func parseCursor(s string) (cas.Cursor, error) {
	if s == "" {
		return cas.Cursor{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != cursorLen {
		return cas.Cursor{}, badRequest("after: this is not a cursor; pass the `next` of the page before")
	}
	cursor := cas.Cursor{CreatedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()}
	copy(cursor.Digest[:], b[8:])
	if year := cursor.CreatedAt.Year(); year < 1970 || year > 9999 {
		return cas.Cursor{}, badRequest("after: this is not a cursor; pass the `next` of the page before")
	}
	return cursor, nil
}

// blobMeta answers GET /v1/blobs/{digest}/meta.
func (g *Gateway) blobMeta(c echo.Context) error {
	d, err := digestParam(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	b, err := g.store.Blob(ctx, d)
	if err != nil {
		return notFoundDetail(err, d)
	}
	copies, err := g.copies.Copies(ctx, d)
	if err != nil {
		return err
	}
	files, more, err := g.filesOf(ctx, d)
	if err != nil {
		return err
	}
	return noStore(c, http.StatusOK, api.BlobMeta{Blob: g.apiBlob(b), State: b.State, Files: files, MoreFiles: more, Copies: apiCopies(copies)})
}

// findMissing answers POST /v1/blobs/find-missing.
func (g *Gateway) findMissing(c echo.Context) error {
	var req api.FindMissing
	if err := readJSON(c, &req); err != nil {
		return err
	}
	if req.Digests == nil {
		return badRequest(`digests: a list is needed, such as {"digests":["sha256:…"]}`)
	}
	if len(req.Digests) > api.MaxFindMissing {
		return badRequest(fmt.Sprintf("digests: %d are more than the %d one request may ask for", len(req.Digests), api.MaxFindMissing))
	}
	missing, err := g.store.Missing(c.Request().Context(), req.Digests)
	if err != nil {
		return err
	}
	if missing == nil {
		missing = []cas.Digest{}
	}
	return noStore(c, http.StatusOK, api.Missing{Missing: missing})
}

// postURL answers POST /v1/blobs/{digest}/url.
func (g *Gateway) postURL(c echo.Context) error {
	d, err := digestParam(c)
	if err != nil {
		return err
	}
	var req api.SignURL
	if err := readJSON(c, &req); err != nil {
		return err
	}
	if req.ExpiresIn < 1 || req.ExpiresIn > api.MaxURLLife {
		return badRequest(fmt.Sprintf("expires_in: %d is not between 1 and %d seconds", req.ExpiresIn, api.MaxURLLife))
	}
	ctx := c.Request().Context()
	if _, err := g.store.Blob(ctx, d); err != nil {
		return notFoundDetail(err, d)
	}
	signed, err := g.sign(ctx, d, time.Duration(req.ExpiresIn)*time.Second)
	if err != nil {
		return err
	}
	return noStore(c, http.StatusOK, signed)
}

// SignURL returns a URL at which a blob can be read without a token for that
// long, as POST /v1/blobs/{digest}/url does; a providers.Replicator takes it for
// its references by URL. Whether there is such a blob isn't asked.
func (g *Gateway) SignURL(ctx context.Context, d cas.Digest, life time.Duration) (string, error) {
	signed, err := g.sign(ctx, d, life)
	return signed.URL, err
}

func (g *Gateway) sign(ctx context.Context, d cas.Digest, life time.Duration) (api.SignedURL, error) {
	key, err := g.keys.signing(ctx)
	if err != nil {
		return api.SignedURL{}, err
	}
	signature := key.Sign(http.MethodGet, d, time.Now().Add(life))
	return api.SignedURL{
		URL:       g.hashURL(d) + "?" + signature.Query().Encode(),
		ExpiresAt: signature.Expires,
	}, nil
}

// readJSON reads a request of one JSON object and nothing else.
func readJSON(c echo.Context, v any) error {
	body := http.MaxBytesReader(c.Response(), c.Request().Body, maxJSON)
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil && decoder.More() {
		return badRequest("the body has more than one JSON value")
	}
	if err == nil {
		// The body is here; its deadline must not strike while the answer is made.
		return http.NewResponseController(c.Response()).SetReadDeadline(time.Time{})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlowBody
	}
	if errors.Is(err, cas.ErrInvalidDigest) {
		return err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return badRequest(fmt.Sprintf("the body is larger than %d bytes", maxJSON))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return badRequest("the body is empty or ends within a JSON object")
	}
	return badRequest(fmt.Sprintf("the body is not the JSON expected: %v", err))
}

// readOptionalJSON is readJSON for a body that may be missing.
func readOptionalJSON(c echo.Context, v any) error {
	req := c.Request()
	if req.ContentLength == 0 {
		return nil
	}
	body := bufio.NewReader(req.Body)
	if _, err := body.Peek(1); err == io.EOF {
		return http.NewResponseController(c.Response()).SetReadDeadline(time.Time{})
	}
	req.Body = struct {
		io.Reader
		io.Closer
	}{body, req.Body}
	return readJSON(c, v)
}

// intParam reads a query parameter between least and most.
func intParam(c echo.Context, name string, fallback, least, most int64) (int64, error) {
	text := c.QueryParam(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, badRequest(fmt.Sprintf("%s: %q is not a number from %d to %d", name, text, least, most))
	}
	return n, nil
}

func boolParam(c echo.Context, name string) (bool, error) {
	switch text := c.QueryParam(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badRequest(fmt.Sprintf("%s: %q is neither true nor false", name, text))
	}
}
