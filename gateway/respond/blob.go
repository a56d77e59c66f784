package respond

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/send"
)

// Opener opens the bytes of blobs.
type Opener interface {
	// Open opens length bytes of a blob from offset.
	Open(ctx context.Context, b cas.Blob, offset, length int64) (*cas.Content, error)
}

// BlobOptions says how a blob is shown.
type BlobOptions struct {
	CacheControl string
	// Download serves the blob as an attachment of this name; empty: as its type says.
	Download string
	// Location is the Content-Location; empty if it is the URL of the request.
	Location string
	// Redirect sends reads of large blobs to the object store. Nil: the gateway serves all.
	Redirect *Redirect
}

// Blob answers GET and HEAD with a blob, or a part of it: 200, 206 or 304.
func Blob(c echo.Context, store Opener, blob cas.Blob, o BlobOptions) error {
	req := c.Request()
	state := request.StateOf(c)
	if state.Record.Digest.IsZero() { // of a text, the record has the digest of the blob it was extracted from
		state.Record.Digest = blob.Digest
	}
	if !state.MayRead { // of a text, whose bytes the scope sync is enough for
		blob.Name, blob.CreatedAt = "", time.Time{}
	}
	described := describe(blob, o)
	etag := described.etag
	h := state.Header()
	if err := request.CheckMatch(req.Header, etag); err != nil {
		return err
	}
	if wasModified(req.Header, blob) {
		return problem.New(problem.PreconditionFailed, "The blob was stored after the time of If-Unmodified-Since.")
	}
	blob.MediaType = described.mediaType[0]
	h[echo.HeaderContentType] = described.mediaType
	if isCurrent(req.Header, blob, etag) {
		described.header.AddTo(h)
		return c.NoContent(http.StatusNotModified)
	}
	part, partial, err := requestedRange(req, blob, etag)
	if err != nil {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", blob.Size))
		return err
	}
	if !partial {
		part = request.ByteRange{Length: blob.Size}
	}
	if o.Redirect.wants(req, blob) {
		return o.Redirect.answer(c, blob, o)
	}
	if req.Method == http.MethodHead && blob.State == cas.StateSuspect {
		if err := verify(req.Context(), store, blob); err != nil {
			return err
		}
	}
	if req.Method == http.MethodHead {
		described.header.AddTo(h)
		h[echo.HeaderContentLength] = []string{strconv.FormatInt(blob.Size, 10)}
		c.Response().WriteHeader(http.StatusOK)
		return nil
	}
	answer := send.Answer{Status: http.StatusOK, Header: described.header, Shared: req.ProtoMajor > 1}
	if partial {
		answer.Status = http.StatusPartialContent
	}
	write := func() error {
		var err error
		if answer.Content, err = store.Open(req.Context(), blob, part.Offset, part.Length); err != nil {
			return problem.WithBlob(err, blob.Digest)
		}
		defer answer.Content.Close()
		if partial {
			h.Set("Content-Range", part.ContentRange(blob.Size))
		}
		return send.Blob(req.Context(), writer{c.Response()}, answer)
	}
	err = write()
	if errors.Is(err, cas.ErrCopyDamaged) && !c.Response().Committed {
		err = write() // of the object itself: nothing was sent yet
	}
	return err
}

// verify reads a suspect blob, so that HEAD has the same answer as GET.
func verify(ctx context.Context, store Opener, blob cas.Blob) error {
	content, err := store.Open(ctx, blob, 0, -1)
	if err != nil {
		return problem.WithBlob(err, blob.Digest)
	}
	defer content.Close()
	if content.Body == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, content.Body); err != nil {
		return problem.WithBlob(err, blob.Digest)
	}
	return nil
}

// isCurrent reports whether the client has the blob already, by If-None-Match or, if
// that is not there, by If-Modified-Since (RFC 9110, section 13.2.2).
func isCurrent(h http.Header, blob cas.Blob, etag string) bool {
	if noneMatch := h["If-None-Match"]; noneMatch != nil {
		return request.MatchesWeakly(noneMatch, etag)
	}
	stored, ok := storedAfter(h.Get("If-Modified-Since"), blob)
	return ok && !stored
}

// wasModified reports whether If-Unmodified-Since forbids the request. It counts only where
// there is no If-Match (RFC 9110, section 13.1.4).
func wasModified(h http.Header, blob cas.Blob) bool {
	if h["If-Match"] != nil {
		return false
	}
	stored, ok := storedAfter(h.Get("If-Unmodified-Since"), blob)
	return ok && stored
}

// storedAfter reports whether a blob was stored after the time in a field. Ok is false if the
// field has no time, or the client may not know the blob's.
func storedAfter(field string, blob cas.Blob) (stored, ok bool) {
	if field == "" || blob.CreatedAt.IsZero() {
		return false, false
	}
	since, err := http.ParseTime(field)
	return err == nil && blob.CreatedAt.Truncate(time.Second).After(since), err == nil
}

// writer is Echo's response with the ReadFrom that Echo hides.
type writer struct{ *echo.Response }

// ReadFrom implements io.ReaderFrom.
func (w writer) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.Response.Writer, r) }

// requestedRange returns the part of the blob that the request asks for. Partial is
// false if it asks for none, or can't have it.
func requestedRange(req *http.Request, blob cas.Blob, etag string) (part request.ByteRange, partial bool, err error) {
	header := req.Header.Get("Range")
	if header == "" || req.Method != http.MethodGet || !blob.IsRangeable() {
		return request.ByteRange{}, false, nil
	}
	if ifRange := req.Header.Get("If-Range"); ifRange != "" && ifRange != etag && ifRange != lastModified(blob) {
		return request.ByteRange{}, false, nil
	}
	return request.ParseRange(header, blob.Size)
}

// Unverified streams bytes that are not the gateway's own. An error before the first
// byte gets a problem as its answer; a later one means that the connection must be
// broken off.
func Unverified(c echo.Context, body io.Reader, shown cas.Blob) error {
	buffer := send.Buffer()
	defer buffer.Free()
	n, err := io.ReadAtLeast(body, buffer[:], 1)
	if err != nil && err != io.EOF {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, shown.MediaType)
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	h.Set(echo.HeaderContentSecurityPolicy, sandbox)
	h.Set(echo.HeaderContentDisposition, contentDisposition(shown, ""))
	c.Response().WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil // and the rest of the body is not read
	}
	if _, err := c.Response().Write(buffer[:n]); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{c.Response()}, struct{ io.Reader }{body}, buffer[:])
	return err
}
