package glmsim

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"casgate/providers/simulator"
)

func (s *Server) upload(r *http.Request) simulator.Answer {
	form, err := s.core.Receive(r, s.options.Order)
	if err != nil {
		return s.core.Error(http.StatusBadRequest, "1210", "API 调用参数有误，请检查文档: "+err.Error())
	}
	name, given := form.Fields["purpose"]
	switch {
	case !given:
		return s.missing("purpose")
	case !form.HasFile:
		return s.missing("file")
	}
	p, known := s.purpose(name)
	if !known {
		return s.invalid("purpose")
	}
	if refusal := s.check(p, form.File); refusal != nil {
		return *refusal
	}
	f := form.File
	f.ID, f.Purpose, f.CreatedAt = s.newID(name), name, s.core.Now()
	if p.lifetime > 0 {
		f.ExpiresAt = f.CreatedAt.Add(p.lifetime)
	}
	f, refusal := s.core.Store(f, s.admit)
	if refusal != nil {
		return *refusal
	}
	return simulator.JSON(http.StatusOK, s.object(f))
}

// admit refuses a file of a purpose that has its number of files.
func (s *Server) admit(kept []*simulator.RemoteFile, f *simulator.RemoteFile) *simulator.Answer {
	p, _ := s.purpose(f.Purpose)
	var same int
	for _, other := range kept {
		if other.Purpose == f.Purpose {
			same++
		}
	}
	if limit := s.maxFiles(p); limit > 0 && same >= limit {
		a := s.core.Error(errTooMany.Status, errTooMany.Code, strings.Replace(errTooMany.Message, "100", strconv.Itoa(limit), 1))
		return &a
	}
	return nil
}

// newID makes an id in one of the shapes that were seen.
func (s *Server) newID(purpose string) string {
	now := s.core.Now()
	switch {
	case s.options.FileName:
		return now.UTC().Format("20060102") + "_" + uuid.NewString()
	case purpose == "agent":
		b := make([]byte, 16)
		rand.Read(b)
		return fmt.Sprintf("agent-%d-%s", now.Unix(), hex.EncodeToString(b))
	}
	return "file-" + rand.Text()[:24]
}

// object is GLM's FileObject; it has no status.
func (s *Server) object(f simulator.RemoteFile) map[string]any {
	o := map[string]any{
		"id": f.ID, "object": "file", "bytes": f.Size, "created_at": f.CreatedAt.Unix(), "filename": f.Name, "purpose": f.Purpose,
	}
	if s.options.FileName {
		o["filename"], o["fileName"] = nil, f.Name
	}
	return o
}

func (s *Server) list(r *http.Request) simulator.Answer {
	query := r.URL.Query()
	if !query.Has("purpose") {
		return s.missing("purpose")
	}
	name := query.Get("purpose")
	if !s.listable(name) {
		return s.invalid("purpose")
	}
	if order := query.Get("order"); order != "" && order != "created_at" {
		return s.invalid("order")
	}
	limit := 20
	if query.Has("limit") {
		var err error
		if limit, err = strconv.Atoi(query.Get("limit")); err != nil || limit < 1 || limit > 100 {
			return s.invalid("limit")
		}
	}
	files := slices.DeleteFunc(s.core.Listed(), func(f simulator.RemoteFile) bool { return f.Purpose != name })
	if !s.options.OldestFirst {
		slices.Reverse(files)
	}
	files, more := simulator.Page(files, query.Get("after"), limit)
	data := make([]any, len(files))
	for i, f := range files {
		data[i] = s.object(f)
	}
	return simulator.JSON(http.StatusOK, map[string]any{"object": "list", "data": data, "has_more": more})
}

func (s *Server) remove(r *http.Request) simulator.Answer {
	id := r.PathValue("id")
	found, deleted := s.core.Delete(id)
	if !found {
		switch s.options.MissingDelete {
		case Missing404:
			return s.core.Error(http.StatusNotFound, "1222", "文件不存在")
		case Missing400:
			return s.invalid("file_id")
		case MissingDeleted:
			deleted = true
		}
	}
	return simulator.JSON(http.StatusOK, map[string]any{"id": id, "object": "file", "deleted": deleted})
}

func (s *Server) content(r *http.Request) simulator.Answer {
	f, found := s.core.Content(r.PathValue("id"))
	if !found {
		return s.core.Error(http.StatusNotFound, "1222", "文件不存在")
	}
	p, _ := s.purpose(f.Purpose)
	if !p.download {
		return s.invalid("file_id")
	}
	if f.Purpose != "file-extract" {
		return s.core.Download(f, "application/octet-stream")
	}
	body, err := json.Marshal(map[string]string{
		"content": text(f), "file_type": "", "filename": f.Name, "title": "", "type": "file",
	})
	if err != nil {
		return s.core.Error(http.StatusInternalServerError, "500", err.Error())
	}
	return simulator.Answer{Status: http.StatusOK, ContentType: "application/octet-stream", Body: body}
}

// text is the simulator's extracted text of a file: a text file's own text, or otherwise
// one line with the digest.
func text(f simulator.RemoteFile) string {
	if f.Whole() && utf8.Valid(f.Head) {
		return string(f.Head)
	}
	return "The simulator's text of " + f.Digest.String() + "."
}
