package openaisim

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"casgate/providers/simulator"
)

func (s *Server) badRequest(message string) simulator.Answer {
	return s.core.Error(http.StatusBadRequest, "", message)
}

func (s *Server) upload(r *http.Request) simulator.Answer {
	form, err := s.core.Receive(r, s.options.Order)
	if err != nil {
		return s.badRequest(err.Error())
	}
	purpose := form.Fields["purpose"]
	lifetime, err := s.lifetime(form)
	switch {
	case err != nil:
		return s.badRequest(err.Error())
	case !form.HasFile:
		return s.badRequest("'file' is a required property")
	case !slices.Contains(s.options.Purposes, purpose):
		return s.badRequest("'" + purpose + "' is not one of the purposes")
	case form.File.Size > s.options.MaxFileSize:
		return s.answer(errTooLarge)
	case form.File.Size == 0:
		return s.answer(errEmpty)
	}
	f := form.File
	f.ID, f.Purpose, f.CreatedAt, f.Polls = s.options.IDPrefix+rand.Text(), purpose, s.core.Now(), s.options.Polls
	if lifetime > 0 {
		f.ExpiresAt = f.CreatedAt.Add(lifetime)
	}
	f, refusal := s.core.Store(f, s.admit)
	if refusal != nil {
		return *refusal
	}
	return simulator.JSON(http.StatusOK, s.object(f))
}

// lifetime is how long a file is to be kept, from the fields
// expires_after[anchor] and expires_after[seconds].
func (s *Server) lifetime(form simulator.Form) (time.Duration, error) {
	anchor, value := form.Fields["expires_after[anchor]"], form.Fields["expires_after[seconds]"]
	if s.options.NoExpiry || anchor == "" && value == "" {
		return s.options.Lifetime, nil
	}
	if anchor != "created_at" {
		return 0, errors.New("expires_after[anchor] must be created_at")
	}
	seconds, err := strconv.Atoi(value)
	if err != nil || seconds < 3600 || seconds > 2592000 {
		return 0, errors.New("expires_after[seconds] must be from 3600 to 2592000")
	}
	return time.Duration(seconds) * time.Second, nil
}

func (s *Server) admit(kept []*simulator.RemoteFile, f *simulator.RemoteFile) *simulator.Answer {
	total := f.Size
	for _, other := range kept {
		total += other.Size
	}
	var refusal simulator.Answer
	switch {
	case s.options.MaxFiles > 0 && len(kept) >= s.options.MaxFiles:
		refusal = s.answer(errTooMany)
	case s.options.MaxBytes > 0 && total > s.options.MaxBytes:
		refusal = s.answer(errFull)
	default:
		return nil
	}
	return &refusal
}

func (s *Server) object(f simulator.RemoteFile) map[string]any {
	o := map[string]any{
		"id": f.ID, "object": "file", "bytes": f.Size, "created_at": f.CreatedAt.Unix(), "filename": f.Name, "purpose": f.Purpose,
	}
	if !f.ExpiresAt.IsZero() {
		o["expires_at"] = f.ExpiresAt.Unix()
	}
	switch {
	case s.options.NoStatus:
	case f.Polls > 0:
		o["status"] = "uploaded"
	case s.options.Fails:
		o["status"], o["status_details"] = "error", "the file could not be read"
	default:
		o["status"] = s.options.Status
	}
	return o
}

func (s *Server) notFound(id string) simulator.Answer {
	return s.core.Error(http.StatusNotFound, "", "No such File object: "+id)
}

func (s *Server) retrieve(r *http.Request) simulator.Answer {
	f, found := s.core.Poll(r.PathValue("id"))
	if !found {
		return s.notFound(r.PathValue("id"))
	}
	return simulator.JSON(http.StatusOK, s.object(f))
}

func (s *Server) remove(r *http.Request) simulator.Answer {
	id := r.PathValue("id")
	found, deleted := s.core.Delete(id)
	if !found {
		return s.notFound(id)
	}
	return simulator.JSON(http.StatusOK, map[string]any{"id": id, "object": "file", "deleted": deleted})
}

func (s *Server) content(r *http.Request) simulator.Answer {
	f, found := s.core.Content(r.PathValue("id"))
	if !found {
		return s.notFound(r.PathValue("id"))
	}
	return s.core.Download(f, "application/octet-stream")
}

func (s *Server) list(r *http.Request) simulator.Answer {
	query := r.URL.Query()
	files := s.core.Listed()
	if query.Get("order") != "asc" {
		slices.Reverse(files)
	}
	if purpose := query.Get("purpose"); purpose != "" {
		files = slices.DeleteFunc(files, func(f simulator.RemoteFile) bool { return f.Purpose != purpose })
	}
	if s.options.NumberedPages {
		return s.numberedPage(r, files)
	}
	limit, err := number(query.Get("limit"), s.options.PageSize)
	if err != nil || limit < 1 || limit > 10_000 {
		return s.badRequest("limit must be from 1 to 10000")
	}
	page, more := simulator.Page(files, query.Get("after"), min(limit, s.options.PageSize))
	list := map[string]any{"object": "list", "data": s.objects(page), "has_more": more}
	if s.options.NoHasMore {
		delete(list, "has_more")
	}
	if len(page) > 0 {
		list["first_id"], list["last_id"] = page[0].ID, page[len(page)-1].ID
	}
	return simulator.JSON(http.StatusOK, list)
}

func (s *Server) numberedPage(r *http.Request, files []simulator.RemoteFile) simulator.Answer {
	page, err := number(r.URL.Query().Get("page"), 0)
	if err != nil || page < 0 {
		return s.badRequest("page must be a number from 0")
	}
	size, err := number(r.URL.Query().Get("page_size"), 100)
	if err != nil || size < 1 {
		return s.badRequest("page_size must be a number from 1")
	}
	size = min(size, s.options.PageSize)
	start := min(page*size, len(files))
	end := min(start+size, len(files))
	return simulator.JSON(http.StatusOK, map[string]any{"object": "list", "data": s.objects(files[start:end]), "total": len(files)})
}

func (s *Server) objects(files []simulator.RemoteFile) []any {
	objects := make([]any, len(files))
	for i, f := range files {
		objects[i] = s.object(f)
	}
	return objects
}

// number reads a parameter that may be left out.
func number(value string, otherwise int) (int, error) {
	if value == "" {
		return otherwise, nil
	}
	return strconv.Atoi(value)
}
