package gateway_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// formPart is a part of a form: a field, or a file where it has a filename.
type formPart struct{ name, filename, value string }

func field(name, value string) formPart { return formPart{name: name, value: value} }

func filePart(filename, content string) formPart { return formPart{"file", filename, content} }

// formOf returns a form of parts in this order.
func formOf(t *testing.T, parts ...formPart) (body *bytes.Buffer, mediaType string) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for _, p := range parts {
		var part io.Writer
		var err error
		if p.filename != "" {
			part, err = w.CreateFormFile(p.name, p.filename)
		} else {
			part, err = w.CreateFormField(p.name)
		}
		if err == nil {
			_, err = io.WriteString(part, p.value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

// postForm sends a form to POST /v1/files.
func (s *server) postForm(query string, parts ...formPart) answer {
	s.t.Helper()
	body, mediaType := formOf(s.t, parts...)
	return s.do("POST", "/v1/files"+query, body, "Content-Type", mediaType)
}

// newFile makes a file, and wants it made.
func (s *server) newFile(filename, content string, fields ...formPart) api.File {
	s.t.Helper()
	a := s.postForm("", append(fields, filePart(filename, content), field("purpose", "user_data"))...)
	if a.StatusCode != 200 {
		s.t.Fatalf("POST /v1/files: %d %s", a.StatusCode, a.body)
	}
	return decode[api.File](s.t, a)
}

// listFiles lists a page.
func (s *server) listFiles(query url.Values) api.FileList {
	s.t.Helper()
	a := s.do("GET", "/v1/files?"+query.Encode(), nil)
	if a.StatusCode != 200 {
		s.t.Fatalf("GET /v1/files: %d %s", a.StatusCode, a.body)
	}
	return decode[api.FileList](s.t, a)
}

func namesOf(list api.FileList) string {
	var names []string
	for _, f := range list.Data {
		names = append(names, f.Filename)
	}
	return strings.Join(names, " ")
}

// wantFileError checks an error answer about files.
func (a answer) wantFileError(t *testing.T, status int, code problem.Code, param string) api.ErrorBody {
	t.Helper()
	if a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("want an error %d %s, got %d %s: %.300s", status, code, a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
	if a.StatusCode != status {
		t.Fatalf("want %d %s, got %d %s", status, code, a.StatusCode, a.body)
	}
	return a.wantErrorObject(t, code, param)
}

// wantErrorObject checks the part of an error answer that SDKs for OpenAI's API read.
func (a answer) wantErrorObject(t *testing.T, code problem.Code, param string) api.ErrorBody {
	t.Helper()
	var raw struct{ Error map[string]json.RawMessage }
	var e api.ErrorAnswer
	if err := json.Unmarshal(a.body, &raw); err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	for _, key := range []string{"message", "type", "param", "code"} {
		if raw.Error[key] == nil {
			t.Errorf("the error has no %s: %s", key, a.body)
		}
	}
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	if e.Error.Code != code || e.Details.Code != code || e.Details.Status != a.StatusCode || e.Details.OperationID != a.Header.Get("X-Request-Id") {
		t.Fatalf("want %s, got %d %s", code, a.StatusCode, a.body)
	}
	got := ""
	if e.Error.Param != nil {
		got = *e.Error.Param
	}
	if got != param {
		t.Errorf("it is about %q, not %q: %s", got, param, a.body)
	}
	if e.Error.Message == "" || e.Error.Type == "" {
		t.Errorf("the error lacks something: %s", a.body)
	}
	should, err := strconv.ParseBool(a.Header.Get("X-Should-Retry"))
	if err != nil || should != (a.Header.Get("Retry-After") != "") {
		t.Errorf("X-Should-Retry %q, Retry-After %q", a.Header.Get("X-Should-Retry"), a.Header.Get("Retry-After"))
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an error may be cached: %q", a.Header.Get("Cache-Control"))
	}
	return e.Error
}

// fileCount counts the files there are, up to a page of them.
func (s *server) fileCount() int {
	s.t.Helper()
	files, err := s.parts.index.ListFiles(s.t.Context(), cas.FileQuery{Limit: 100_000})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(files)
}
