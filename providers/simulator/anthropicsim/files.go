package anthropicsim

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"casgate/providers/simulator"
)

func (s *Server) badRequest(message string) simulator.Answer {
	return s.core.Error(http.StatusBadRequest, "invalid_request_error", message)
}

// maxName is the length of a file's name, in characters [3P].
const maxName = 255

// ForbiddenInNames are the characters that no file's name may have [3P].
const ForbiddenInNames = `<>:"|?*/\`

func validName(name string) bool {
	n := utf8.RuneCountInString(name)
	return n >= 1 && n <= maxName && utf8.ValidString(name) &&
		!strings.ContainsAny(name, ForbiddenInNames) && !strings.ContainsFunc(name, unicode.IsControl)
}

func (s *Server) upload(r *http.Request) simulator.Answer {
	form, err := s.core.Receive(r, simulator.AnyOrder)
	if err != nil {
		return s.badRequest(err.Error())
	}
	lifetime, err := lifetimeOf(form)
	switch {
	case err != nil:
		return s.badRequest(err.Error())
	case !form.HasFile:
		return s.badRequest("file: Field required")
	case !validName(form.FileName):
		return s.answer(errName)
	case form.File.Size > s.options.MaxFileSize:
		return s.answer(errTooLarge)
	case form.File.Size == 0:
		return s.answer(errEmpty)
	}
	f := form.File
	f.ID, f.CreatedAt = "file_011C"+rand.Text(), s.core.Now()
	f.MediaType = cmp.Or(f.MediaType, "application/octet-stream")
	if lifetime > 0 {
		f.ExpiresAt = f.CreatedAt.Add(lifetime)
	}
	f, refusal := s.core.Store(f, s.admit)
	if refusal != nil {
		return *refusal
	}
	return simulator.JSON(http.StatusOK, s.object(f))
}

// lifetimeOf reads the field expires_in_seconds [3P]. The API has no other field beside
// the file [C].
func lifetimeOf(form simulator.Form) (time.Duration, error) {
	for name := range form.Fields {
		if name != "expires_in_seconds" {
			return 0, errors.New(name + ": Extra inputs are not permitted")
		}
	}
	value, given := form.Fields["expires_in_seconds"]
	if !given {
		return 0, nil
	}
	seconds, err := strconv.ParseInt(value, 10, 32)
	if err != nil || seconds < 1 {
		return 0, errors.New("expires_in_seconds: Input should be a positive integer")
	}
	return time.Duration(seconds) * time.Second, nil
}

func (s *Server) admit(kept []*simulator.RemoteFile, f *simulator.RemoteFile) *simulator.Answer {
	total := f.Size
	for _, other := range kept {
		total += other.Size
	}
	if total <= s.options.MaxBytes {
		return nil
	}
	refusal := s.answer(errFull)
	return &refusal
}

// object is a file in JSON [D]. There is no purpose and no status.
func (s *Server) object(f simulator.RemoteFile) map[string]any {
	o := map[string]any{
		"id": f.ID, "type": "file", "filename": f.Name, "mime_type": f.MediaType, "size_bytes": f.Size,
		"created_at": f.CreatedAt.UTC().Format(time.RFC3339Nano), "downloadable": f.Generated, "expires_at": nil,
	}
	if !f.ExpiresAt.IsZero() {
		o["expires_at"] = f.ExpiresAt.UTC().Format(time.RFC3339Nano)
	}
	if s.options.Scoped {
		o["scope"] = map[string]any{"type": "session", "id": "session_01"}
	}
	return o
}

func (s *Server) notFound(id string) simulator.Answer {
	return s.core.Error(http.StatusNotFound, "not_found_error", "File not found: "+id)
}

func (s *Server) retrieve(r *http.Request) simulator.Answer {
	f, found := s.core.Poll(r.PathValue("id"))
	if !found {
		return s.notFound(r.PathValue("id"))
	}
	return simulator.JSON(http.StatusOK, s.object(f))
}

// remove answers without "deleted" [C].
func (s *Server) remove(r *http.Request) simulator.Answer {
	id := r.PathValue("id")
	if found, _ := s.core.Delete(id); !found {
		return s.notFound(id)
	}
	return simulator.JSON(http.StatusOK, map[string]any{"id": id, "type": "file_deleted"})
}

func (s *Server) content(r *http.Request) simulator.Answer {
	f, found := s.core.Content(r.PathValue("id"))
	switch {
	case !found:
		return s.notFound(r.PathValue("id"))
	case !f.Generated:
		return s.answer(errNotDownloadable)
	}
	return s.core.Download(f, cmp.Or(f.MediaType, "application/octet-stream"))
}

func (s *Server) list(r *http.Request) simulator.Answer {
	query := r.URL.Query()
	limit := defaultPage
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxPage {
			return s.badRequest("limit: Input should be a number from 1 to 1000")
		}
	}
	if query.Has("after_id") && query.Has("before_id") {
		return s.badRequest("only one of after_id and before_id is permitted")
	}
	files := s.core.Listed()
	if !s.options.OldestFirst {
		slices.Reverse(files)
	}
	page, more := pageOf(files, query.Get("after_id"), query.Get("before_id"), min(limit, s.options.PageSize))
	objects := make([]any, len(page))
	for i, f := range page {
		objects[i] = s.object(f)
	}
	list := map[string]any{"data": objects, "has_more": more, "first_id": nil, "last_id": nil}
	if len(page) > 0 {
		list["first_id"], list["last_id"] = page[0].ID, page[len(page)-1].ID
	}
	return simulator.JSON(http.StatusOK, list)
}

// pageOf returns the page after one file, or the one that ends before another one.
func pageOf(files []simulator.RemoteFile, after, before string, limit int) (page []simulator.RemoteFile, more bool) {
	if before == "" {
		return simulator.Page(files, after, limit)
	}
	end := slices.IndexFunc(files, func(f simulator.RemoteFile) bool { return f.ID == before })
	end = max(end, 0)
	start := max(end-limit, 0)
	return files[start:end], start > 0
}
