package geminisim

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"casgate/providers/simulator"
)

// session is an upload whose bytes are to come.
type session struct {
	id, displayName, mediaType string
	size                       int64
}

// validID is a file's id [C].
var validID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

const (
	maxDisplayName = 512
	maxStart       = 64 << 10
)

func (s *Server) badRequest(message string) simulator.Answer {
	return s.core.Error(http.StatusBadRequest, "INVALID_ARGUMENT", message)
}

// start begins an upload: it checks the file's description, and answers with a URL.
func (s *Server) start(r *http.Request) simulator.Answer {
	begun, err := readStart(r)
	if err != nil {
		return s.badRequest(err.Error())
	}
	switch {
	case begun.size > s.options.MaxFileSize:
		return s.answer(errTooLarge)
	case begun.size == 0:
		return s.answer(errEmpty)
	}
	if _, taken := s.core.File(begun.id); taken {
		return s.answer(errTaken)
	}
	id := rand.Text()
	s.mu.Lock()
	s.sessions[id] = begun
	s.mu.Unlock()
	host := s.options.UploadHost
	if host == "" {
		host = "http://" + r.Host
	}
	a := simulator.JSON(http.StatusOK, map[string]any{})
	a.Header = http.Header{
		"X-Goog-Upload-Url":    {host + uploadPath + "?upload_id=" + id + "&upload_protocol=resumable"},
		"X-Goog-Upload-Status": {"active"},
	}
	return a
}

func readStart(r *http.Request) (session, error) {
	if r.Header.Get("X-Goog-Upload-Protocol") != "resumable" || r.Header.Get("X-Goog-Upload-Command") != "start" {
		return session{}, errors.New("only the start of a resumable upload is supported")
	}
	if r.URL.Query().Has("key") {
		return session{}, errors.New("the simulator wants the key in a header")
	}
	size, err := strconv.ParseInt(r.Header.Get("X-Goog-Upload-Header-Content-Length"), 10, 64)
	if err != nil {
		return session{}, errors.New("X-Goog-Upload-Header-Content-Length is not a number")
	}
	var body struct {
		File struct {
			Name        string `json:"name"`
			DisplayName string `json:"display_name"`
		} `json:"file"`
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, maxStart))
	if err != nil {
		return session{}, err
	}
	if err := json.Unmarshal(content, &body); err != nil {
		return session{}, err
	}
	begun := session{displayName: body.File.DisplayName, mediaType: r.Header.Get("X-Goog-Upload-Header-Content-Type"), size: size}
	if utf8.RuneCountInString(begun.displayName) > maxDisplayName {
		return session{}, errors.New("file.display_name is longer than 512 characters")
	}
	if body.File.Name == "" {
		begun.id = strings.ToLower(rand.Text()[:12])
		return begun, nil
	}
	id, found := strings.CutPrefix(body.File.Name, "files/")
	if !found || !validID.MatchString(id) {
		return session{}, errors.New("file.name must be files/ and at most 40 of a-z, 0-9 and dashes, with no dash at an end")
	}
	begun.id = id
	return begun, nil
}

// receive takes the bytes of an upload, all in one request.
func (s *Server) receive(r *http.Request) simulator.Answer {
	upload := r.URL.Query().Get("upload_id")
	s.mu.Lock()
	begun, found := s.sessions[upload]
	s.mu.Unlock()
	switch {
	case !found:
		return s.core.Error(http.StatusNotFound, "NOT_FOUND", "the upload is unknown")
	case r.Header.Get("X-Goog-Upload-Command") != "upload, finalize" || r.Header.Get("X-Goog-Upload-Offset") != "0":
		return s.badRequest("only one request with all bytes is supported")
	case r.Header.Get("X-Goog-Api-Key") != "":
		return s.badRequest("the simulator wants no key with the bytes")
	}
	f, err := s.core.ReceiveFile(r, begun.displayName, begun.mediaType)
	if err != nil {
		return s.badRequest(err.Error())
	}
	if f.Size != begun.size {
		return s.badRequest("the bytes are not as many as were announced")
	}
	f.ID, f.CreatedAt, f.Polls = begun.id, s.core.Now(), s.options.Polls
	f.ExpiresAt = f.CreatedAt.Add(lifetime)
	f, refusal := s.core.Store(f, s.admit)
	if refusal != nil {
		return *refusal
	}
	s.mu.Lock()
	delete(s.sessions, upload)
	s.mu.Unlock()
	a := simulator.JSON(http.StatusOK, map[string]any{"file": s.object(f)})
	a.Header = http.Header{"X-Goog-Upload-Status": {"final"}}
	return a
}

func (s *Server) admit(kept []*simulator.RemoteFile, f *simulator.RemoteFile) *simulator.Answer {
	total := f.Size
	for _, other := range kept {
		if other.ID == f.ID {
			refusal := s.answer(errTaken)
			return &refusal
		}
		total += other.Size
	}
	if total <= s.options.MaxBytes {
		return nil
	}
	refusal := s.answer(errFull)
	return &refusal
}
