package kimisim

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/encoding/htmlindex"

	"casgate/providers/simulator"
)

func (s *Server) upload(r *http.Request) simulator.Answer {
	form, err := s.core.Receive(r, s.options.Order)
	if err != nil {
		return s.badRequest("%v", err)
	}
	purpose := form.Fields["purpose"]
	if !slices.Contains(purposes, purpose) {
		return s.badRequest("%s", strings.Replace(errPurpose.Message, "nonsense", purpose, 1))
	}
	if !form.HasFile {
		return s.badRequest("file is required")
	}
	f := form.File
	f.ID, f.Purpose, f.CreatedAt, f.Polls = s.newID(), purpose, s.core.Now(), s.options.Polls
	if refusal := s.check(f); refusal != nil {
		return s.answer(*refusal)
	}
	f, refusal := s.core.Store(f, s.admit)
	if refusal != nil {
		return *refusal
	}
	if hosted(r) {
		return simulator.JSON(http.StatusCreated, s.hostedObject(f))
	}
	return simulator.JSON(http.StatusOK, s.object(f))
}

// admit refuses a file for which there is no room, and renames one whose name
// there is already.
func (s *Server) admit(kept []*simulator.RemoteFile, f *simulator.RemoteFile) *simulator.Answer {
	var files, batches int
	var total int64
	names := map[string]bool{}
	for _, other := range kept {
		files++
		if other.Purpose == "batch" {
			batches++
		}
		total += other.Size
		names[other.Name] = true
	}
	var refusal simulator.Answer
	switch {
	case files >= s.options.MaxFiles:
		refusal = s.badRequest("%s", tooManyFiles(s.options.MaxFiles))
	case f.Purpose == "batch" && batches >= MaxBatchFiles:
		refusal = s.badRequest("%s", tooManyFiles(MaxBatchFiles))
	case total+f.Size > s.options.MaxBytes:
		refusal = s.answer(errFull)
	default:
		if !s.options.KeepNames {
			f.Name = freeName(f.Name, names)
		}
		return nil
	}
	return &refusal
}

// freeName puts " (n)" before a name's extension where the name is taken.
func freeName(name string, taken map[string]bool) string {
	ext := path.Ext(name)
	free := name
	for n := 1; taken[free]; n++ {
		free = fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(name, ext), n, ext)
	}
	return free
}

func (s *Server) newID() string {
	id := strings.ToLower(rand.Text()) // 26 characters
	if s.options.LegacyIDs {
		return id[:20]
	}
	return "file_" + id
}

// object is Kimi's FileObject. file_type is not documented; the live service sends
// it.
func (s *Server) object(f simulator.RemoteFile) map[string]any {
	status, details := s.status(f)
	return map[string]any{
		"id": f.ID, "object": "file", "bytes": f.Size, "created_at": f.CreatedAt.Unix(), "filename": f.Name,
		"purpose": f.Purpose, "status": status, "status_details": details, "file_type": fileType(f.Name),
	}
}

func (s *Server) status(f simulator.RemoteFile) (status, details string) {
	switch {
	case f.Polls > 0:
		return "created", ""
	case s.options.ParseFails:
		return "error", "text extract error: 没有解析出内容"
	}
	return s.options.Status, ""
}

// hosted reports whether a request asks for the shapes of the Hosted Agents API.
func hosted(r *http.Request) bool { return r.Header.Get("Kimi-Api-Version") == "2026-09-01-beta" }

func (s *Server) hostedObject(f simulator.RemoteFile) map[string]any {
	status := "ready"
	if s.options.ParseFails {
		status = "error"
	}
	return map[string]any{
		"id": f.ID, "filename": f.Name, "mime_type": fileType(f.Name), "size_bytes": f.Size,
		"created_at": f.CreatedAt.UTC().Format(time.RFC3339), "extract_status": status,
	}
}

func (s *Server) retrieve(r *http.Request) simulator.Answer {
	f, found := s.core.Poll(r.PathValue("id"))
	if !found {
		return s.notFound()
	}
	return simulator.JSON(http.StatusOK, s.object(f))
}

func (s *Server) remove(r *http.Request) simulator.Answer {
	id := r.PathValue("id")
	found, deleted := s.core.Delete(id)
	if !found {
		return s.notFound()
	}
	if hosted(r) {
		return simulator.Answer{Status: http.StatusNoContent}
	}
	return simulator.JSON(http.StatusOK, map[string]any{"deleted": deleted, "id": id, "object": "file"})
}

// list answers with all files: no query parameter is documented.
func (s *Server) list(r *http.Request) simulator.Answer {
	files := s.core.Listed()
	if !s.options.OldestFirst {
		slices.Reverse(files)
	}
	more := false
	if s.options.PageSize > 0 {
		files, more = simulator.Page(files, r.URL.Query().Get("after"), s.options.PageSize)
	}
	list := map[string]any{"object": "list", "first_id": "", "last_id": "", "has_more": more}
	data := make([]any, len(files))
	for i, f := range files {
		data[i] = s.object(f)
	}
	list["data"] = data
	if len(files) > 0 {
		list["first_id"], list["last_id"] = files[0].ID, files[len(files)-1].ID
	}
	return simulator.JSON(http.StatusOK, list)
}

func (s *Server) content(r *http.Request) simulator.Answer {
	f, found := s.core.Content(r.PathValue("id"))
	status, _ := s.status(f)
	switch {
	case !found, status != s.options.Status: // an unparsed file has no content yet
		return s.notFound()
	case f.Purpose == "image", f.Purpose == "video":
		return s.badRequest("the content of purpose %s can not be downloaded", f.Purpose)
	case f.Purpose != "file-extract":
		return s.core.Download(f, "application/octet-stream")
	}
	return s.extracted(f)
}

// extracted answers with a file's text. The answer is documented as text, and is a JSON
// object.
func (s *Server) extracted(f simulator.RemoteFile) simulator.Answer {
	extracted := text(f)
	if s.options.Text != nil {
		extracted = *s.options.Text
	}
	body, err := json.Marshal(map[string]string{
		"content": extracted, "file_type": fileType(f.Name), "filename": f.Name, "title": "", "type": "file",
	})
	charset := cmp.Or(s.options.Charset, "utf-8")
	if err == nil && charset != "utf-8" {
		body, err = encode(charset, body)
	}
	if err != nil {
		return s.core.Error(http.StatusInternalServerError, "server_error", err.Error())
	}
	contentType := "text/plain; charset=" + charset
	if s.options.CharsetUnsaid {
		contentType = "text/plain"
	}
	return simulator.Answer{Status: http.StatusOK, ContentType: contentType, Body: body}
}

func encode(charset string, text []byte) ([]byte, error) {
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return nil, err
	}
	return encoding.NewEncoder().Bytes(text)
}
