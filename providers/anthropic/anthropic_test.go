package anthropic_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/anthropic"
	"casgate/providers/simulator"
	"casgate/providers/simulator/anthropicsim"
)

func upload(name, mediaType, text string) providers.Upload {
	return providers.Upload{
		Name: name, Purpose: "general", MediaType: mediaType, Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

// TestErrorTable walks the whole table: each row has one meaning, and some a hint.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	hints := map[string]string{ // by a part of the message
		"x-api-key header":          "CAS_ANTHROPIC_API_KEY",
		"invalid x-api-key":         "CAS_ANTHROPIC_API_KEY",
		"anthropic-version":         "",
		"Invalid filename":          "1 to 255 characters",
		"file is empty":             "empty",
		"maximum size":              "500 MB",
		"rate limit":                "slow down",
		"storage limit":             "1 TB",
		"downloadable":              "made itself",
		"not found":                 "",
		"does not have permission":  "workspace",
		"billing or payment":        "credit",
		"credit balance is too low": "credit",
		"Internal server error":     "",
		"timed out":                 "",
		"Overloaded":                "",
	}
	p, server := open(t, anthropicsim.Options{}, providers.Settings{})
	for _, row := range anthropicsim.Errors {
		call := func() error {
			_, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text"))
			return err
		}
		switch row.Op {
		case providers.OpRetrieve:
			call = func() error { _, err := p.Retrieve(t.Context(), "file_1"); return err }
		case providers.OpDownload:
			call = func() error { _, err := p.Download(t.Context(), "file_1"); return err }
		}
		server.Fail(row.Fault(1))
		e, ok := errors.AsType[*providers.Error](call())
		if !ok {
			t.Errorf("%d %s: no error", row.Status, row.Code)
			continue
		}
		want := row.Kinds[0]
		tooMany := row.TooMany || row.Code == "rate_limit_error"
		if e.Kind != want || e.Status != row.Status || e.Code != row.Code || e.TooMany != tooMany {
			t.Errorf("%d %s %q:\n got %+v\nwant kind %s, TooMany %t", row.Status, row.Code, row.Message, *e, want, tooMany)
		}
		known := false
		for part, hint := range hints {
			if !strings.Contains(row.Message, part) {
				continue
			}
			known = true
			if !strings.Contains(e.Hint, hint) {
				t.Errorf("%q: the hint is %q; want one with %q", row.Message, e.Hint, hint)
			}
		}
		if !known {
			t.Errorf("the test knows no message like %q", row.Message)
		}
	}
}

// TestErrorsOfOtherCalls: what can't have stored a file is safe to repeat, and a 403
// means a full storage only where something is to be stored.
func TestErrorsOfOtherCalls(t *testing.T) {
	t.Parallel()
	p, server := open(t, anthropicsim.Options{}, providers.Settings{})
	for _, test := range []struct {
		status        int
		kind, message string
		want          providers.Kind
	}{
		{500, "api_error", "Internal server error", providers.KindTransient},
		{529, "overloaded_error", "Overloaded", providers.KindTransient},
		{403, "permission_error", "no permission for this storage", providers.KindAuth},
		{404, "not_found_error", "no access to the file, or no file", providers.KindLost},
	} {
		server.Fail(simulator.Fault{Op: providers.OpDelete, Times: 1, Kind: simulator.Refuse, Status: test.status, Code: test.kind, Message: test.message})
		if err := p.Delete(t.Context(), "file_1"); providers.KindOf(err) != test.want {
			t.Errorf("%d %s: %v of kind %s; want %s", test.status, test.kind, err, providers.KindOf(err), test.want)
		}
	}
}

// TestRequests: the headers, the fields of the form, and the parameters of lists.
func TestRequests(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []*http.Request
	sim := anthropicsim.New(anthropicsim.Options{Keys: []string{key}})
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got = append(got, r)
		mu.Unlock()
		sim.ServeHTTP(w, r)
	}))
	p := with(t, providers.Settings{BaseURL: base + anthropicsim.Prefix})
	f, err := p.Upload(t.Context(), upload("a.pdf", "application/pdf", "%PDF-1.7"))
	if err != nil {
		t.Fatal(err)
	}
	if last := sim.LastUpload(); len(last.Fields) > 0 || last.MediaType != "application/pdf" || last.FileName != "a.pdf" {
		t.Errorf("the form is %+v; want the file alone", last)
	}
	for range 1000 {
		sim.Put(simulator.RemoteFile{ID: fmt.Sprint("file_", len(sim.Files())), Name: "b"})
	}
	listed := 0
	for _, err := range p.List(t.Context(), "general") {
		if err != nil {
			t.Fatal(err)
		}
		listed++
	}
	if err := p.Delete(t.Context(), f.ID); err != nil {
		t.Fatal(err)
	}
	if listed != 1001 {
		t.Errorf("%d files were listed; want 1001", listed)
	}
	mu.Lock()
	defer mu.Unlock()
	var calls []string
	for _, r := range got {
		calls = append(calls, r.Method+" "+r.URL.RequestURI())
		h := r.Header
		if h.Get("X-Api-Key") != key || h.Get("Anthropic-Version") != "2023-06-01" || h.Get("Anthropic-Beta") != "" || h.Get("Authorization") != "" {
			t.Errorf("%s %s: headers %v", r.Method, r.URL, h)
		}
	}
	want := []string{"POST /v1/files", "GET /v1/files?limit=1000", "GET /v1/files?after_id=file_1&limit=1000", "DELETE /v1/files/" + f.ID}
	if strings.Join(calls, "\n") != strings.Join(want, "\n") {
		t.Errorf("the requests are\n%s\nwant\n%s", strings.Join(calls, "\n"), strings.Join(want, "\n"))
	}
}

// TestDeleteAnswers: there is no "deleted"; the type says it, about the right file.
func TestDeleteAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer string
		want   providers.Kind
	}{
		{`{"id":"file_1","type":"file_deleted"}`, ""},
		{`{"id":"file_2","type":"file_deleted"}`, providers.KindTransient},
		{`{"type":"file_deleted"}`, providers.KindTransient},
		{`{"id":"file_1","type":"file"}`, providers.KindTransient},
		{`{}`, providers.KindTransient},
	} {
		base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, test.answer) }))
		err := with(t, providers.Settings{BaseURL: base}).Delete(t.Context(), "file_1")
		if providers.KindOf(err) != test.want {
			t.Errorf("%s: %v of kind %q; want %q", test.answer, err, providers.KindOf(err), test.want)
		}
	}
}

// TestLifetime: expires_in_seconds is sent where the settings have a lifetime, and the
// answer's time is the file's.
func TestLifetime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	for _, test := range []struct {
		lifetime time.Duration
		field    string
		expires  time.Time
	}{
		{0, "", time.Time{}},
		{48 * time.Hour, "172800", now.Add(48 * time.Hour)},
	} {
		p, server := open(t, anthropicsim.Options{Now: clock}, providers.Settings{Lifetime: test.lifetime})
		f, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text"))
		if err != nil {
			t.Fatal(err)
		}
		if got := server.LastUpload().Fields["expires_in_seconds"]; got != test.field {
			t.Errorf("%s: expires_in_seconds is %q; want %q", test.lifetime, got, test.field)
		}
		if !f.ExpiresAt.Equal(test.expires) || !f.CreatedAt.Equal(now) || p.Describe().Purposes[0].Lifetime() != test.lifetime {
			t.Errorf("%s: %+v of %+v", test.lifetime, f, p.Describe().Purposes)
		}
		if got, err := p.Retrieve(t.Context(), f.ID); err != nil || got != f {
			t.Errorf("%s: looked up: %+v, %v; want %+v", test.lifetime, got, err, f)
		}
	}
	if _, err := anthropic.New(providers.Settings{APIKey: key, Lifetime: time.Millisecond}); err == nil || !strings.Contains(err.Error(), "CAS_ANTHROPIC_LIFETIME") {
		t.Errorf("a lifetime of a millisecond: %v", err)
	}
}

// TestWorkspace: files belong to the workspace, and each of its keys can use them.
func TestWorkspace(t *testing.T) {
	t.Parallel()
	const another = "sk-ant-api03-An0therK3yOfIt"
	sim := anthropicsim.New(anthropicsim.Options{Keys: []string{key, another}})
	base := serve(t, sim) + anthropicsim.Prefix
	old, renewed := with(t, providers.Settings{BaseURL: base}), with(t, providers.Settings{BaseURL: base, APIKey: another})
	f, err := old.Upload(t.Context(), upload("a.txt", "text/plain", "text"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := renewed.Retrieve(t.Context(), f.ID); err != nil || got != f {
		t.Errorf("%+v, %v; want %+v", got, err, f)
	}
	if err := renewed.Delete(t.Context(), f.ID); err != nil {
		t.Error(err)
	}
	stranger := with(t, providers.Settings{BaseURL: base, APIKey: "sk-ant-api03-Str4nger"})
	if _, err := stranger.Retrieve(t.Context(), f.ID); providers.KindOf(err) != providers.KindAuth {
		t.Errorf("a key of no workspace: %v", err)
	}
}

// TestRemoteNames: the names of copies keep to Anthropic's rules, whatever the files
// are called.
func TestRemoteNames(t *testing.T) {
	t.Parallel()
	p, _ := open(t, anthropicsim.Options{}, providers.Settings{})
	for _, name := range []string{
		"", "a.txt", `<>:"|?*/\`, `what? "yes" | no: *.txt`, "a/b/c?.txt", "line\r\nend.txt", "nul\x00.txt", "\u202eexe.txt",
		strings.Repeat("长", 400) + ".txt", strings.Repeat("x", 400), "\xff\xfe.txt", "年度报告（终稿）.txt",
	} {
		if _, err := p.Upload(t.Context(), upload(providers.RemoteName("cas0123456789", name, cas.DigestOf([]byte("x")), ".txt", 1<<62), "text/plain", "text")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
