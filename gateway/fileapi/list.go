package fileapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// listChunk is the number of files of a page that are held in memory at a time. A file may
// take up to 35 KB.
const listChunk = 500

// List answers GET /v1/files.
func (h *Handlers) List(c echo.Context) error {
	if err := request.CheckOnce(c); err != nil {
		return err
	}
	limit, err := request.Int(c, "limit", request.IntRange{Default: api.MaxFilePage, Min: 1, Max: api.MaxFilePage})
	if err != nil {
		return err
	}
	q, err := h.fileQuery(c)
	if err != nil {
		return err
	}
	page := pageWriter{urls: h.URLs, c: c}
	for left := int(limit); ; {
		// One more than asked for is read, to know whether there are more.
		q.Limit = min(left, listChunk) + 1
		files, err := h.Files.ListFiles(c.Request().Context(), q)
		if err != nil {
			return err
		}
		more := len(files) == q.Limit
		if more {
			files = files[:q.Limit-1]
		}
		hidden, err := h.Store.Hidden(c.Request().Context(), digestsOf(files))
		if err != nil {
			return err
		}
		if err := page.add(files, hidden); err != nil {
			return err
		}
		if left -= len(files); !more || left == 0 {
			return page.end(more)
		}
		q.After = files[len(files)-1].Cursor()
	}
}

// digestsOf returns the digests of the files that have bytes, each once.
func digestsOf(files []cas.File) []cas.Digest {
	digests := make([]cas.Digest, 0, len(files))
	seen := make(map[cas.Digest]bool, len(files))
	for _, f := range files {
		if !f.IsPending() && !seen[f.Digest] {
			seen[f.Digest] = true
			digests = append(digests, f.Digest)
		}
	}
	return digests
}

// fileQuery reads the filters and the order of a list.
func (h *Handlers) fileQuery(c echo.Context) (cas.FileQuery, error) {
	q := cas.FileQuery{
		Descending: true, Purpose: c.QueryParam("purpose"), Context: c.QueryParam("context"),
		Tag: c.QueryParam("tag"), NamePrefix: c.QueryParam("name_prefix"),
	}
	switch order := c.QueryParam("order"); order {
	case "", "desc":
	case "asc":
		q.Descending = false
	default:
		return q, request.BadParam("order", fmt.Sprintf("%.100q is neither asc nor desc", order))
	}
	if q.Purpose != "" {
		if err := h.checkPurpose(q.Purpose, cas.OutputPurposes); err != nil {
			return q, problem.WithParam("purpose", err)
		}
	}
	if metadata := c.QueryParam("metadata"); metadata != "" {
		q.Metadata = json.RawMessage(metadata)
	}
	for param, prefix := range map[string]string{"sha256": "sha256:", "digest": ""} {
		if text := c.QueryParam(param); text != "" {
			d, err := request.DigestFilter(prefix + text)
			if err != nil {
				return q, problem.WithParam(param, err)
			}
			if !q.Digest.IsZero() && q.Digest != d {
				return q, request.BadParam("sha256", "it names another digest than the parameter digest")
			}
			q.Digest = d
		}
	}
	if after := c.QueryParam("after"); after != "" {
		var err error
		q.After, err = h.Files.FilePosition(c.Request().Context(), after)
		if errors.Is(err, cas.ErrFileNotFound) {
			return q, request.BadParam("after", fmt.Sprintf("there never was a file %.100q, or it was deleted more than a day ago; begin again without it, or after another", after))
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

// pageWriter writes a page of files as the index returns them.
type pageWriter struct {
	urls  view.URLs
	c     echo.Context
	out   *bufio.Writer // nil until the first files came
	first string
	last  string
}

// add writes files. The blobs of hidden digests were deleted.
func (p *pageWriter) add(files []cas.File, hidden map[cas.Digest]bool) error {
	if p.out == nil {
		respond.BeginJSON(p.c)
		p.out = bufio.NewWriterSize(p.c.Response(), 32<<10)
		p.out.WriteString(`{"object":"list","data":[`) // an error stays, and Flush returns it
	}
	for _, f := range files {
		if p.first == "" {
			p.first = f.ID
		} else {
			p.out.WriteByte(',')
		}
		p.last = f.ID
		shown := view.File(f, p.urls)
		if hidden[f.Digest] && !f.IsPending() {
			view.MarkDeleted(&shown)
		}
		text, err := respond.Marshal(p.c, shown)
		if err != nil {
			return err
		}
		p.out.Write(bytes.TrimSuffix(text, []byte("\n")))
	}
	return nil
}

func (p *pageWriter) end(more bool) error {
	tail := struct {
		FirstID *string `json:"first_id"`
		LastID  *string `json:"last_id"`
		HasMore bool    `json:"has_more"`
	}{HasMore: more}
	if p.first != "" {
		tail.FirstID, tail.LastID = &p.first, &p.last
	}
	text, err := json.Marshal(tail)
	if err != nil {
		return err
	}
	p.out.WriteString("],")
	p.out.Write(text[1:])
	p.out.WriteByte('\n')
	return p.out.Flush()
}
