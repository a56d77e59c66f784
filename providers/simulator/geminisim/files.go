package geminisim

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"time"

	"casgate/cas"
	"casgate/providers/simulator"
)

const uriPrefix = "https://generativelanguage.googleapis.com/v1beta/files/"

// object is a file in JSON [C]. There is no purpose.
func (s *Server) object(f simulator.RemoteFile) map[string]any {
	o := map[string]any{
		"name": "files/" + f.ID, "displayName": f.Name, "mimeType": f.MediaType, "sizeBytes": strconv.FormatInt(f.Size, 10),
		"createTime": moment(f.CreatedAt), "updateTime": moment(f.CreatedAt),
		"uri": uriPrefix + f.ID, "state": "ACTIVE", "source": "UPLOADED",
	}
	if !f.ExpiresAt.IsZero() {
		o["expirationTime"] = moment(f.ExpiresAt)
	}
	if s.options.NumericSizes {
		o["sizeBytes"] = f.Size
	}
	switch digest := f.Digest; s.options.Hash {
	case HashOfHex:
		o["sha256Hash"] = base64.StdEncoding.EncodeToString([]byte(digest.Hex()))
	case HashRaw:
		o["sha256Hash"] = base64.StdEncoding.EncodeToString(digest[:])
	case HashWrong:
		other := cas.DigestOf(digest[:])
		o["sha256Hash"] = base64.StdEncoding.EncodeToString(other[:])
	case HashMissing:
	}
	switch {
	case f.Polls > 0:
		o["state"] = "PROCESSING"
	case s.options.FailProcessing:
		o["state"] = "FAILED"
		o["error"] = map[string]any{"code": 3, "message": "the file can't be processed"}
	}
	return o
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (s *Server) retrieve(r *http.Request) simulator.Answer {
	f, found := s.core.Poll(r.PathValue("id"))
	if !found {
		return s.notFound(r.PathValue("id"))
	}
	return simulator.JSON(http.StatusOK, s.object(f))
}

// remove answers with an empty object [C].
func (s *Server) remove(r *http.Request) simulator.Answer {
	id := r.PathValue("id")
	if found, _ := s.core.Delete(id); !found {
		return s.notFound(id)
	}
	return simulator.JSON(http.StatusOK, map[string]any{})
}

// list leaves empty fields out, as JSON made from protocol buffers does.
func (s *Server) list(r *http.Request) simulator.Answer {
	query := r.URL.Query()
	limit := defaultPage
	if text := query.Get("pageSize"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxPage {
			return s.badRequest("page_size must be from 1 to 100")
		}
	}
	files := s.core.Listed()
	slices.Reverse(files)
	page, more := simulator.Page(files, query.Get("pageToken"), min(limit, s.options.PageSize))
	list := map[string]any{}
	if len(page) > 0 {
		objects := make([]any, len(page))
		for i, f := range page {
			objects[i] = s.object(f)
		}
		list["files"] = objects
	}
	if more {
		list["nextPageToken"] = page[len(page)-1].ID
	}
	return simulator.JSON(http.StatusOK, list)
}
