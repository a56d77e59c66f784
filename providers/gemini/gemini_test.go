package gemini_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/gemini"
	"casgate/providers/simulator"
	"casgate/providers/simulator/geminisim"
)

func upload(name, mediaType, text string) providers.Upload {
	return providers.Upload{
		Name: name, Purpose: "general", MediaType: mediaType, Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

// remoteName is the name of a copy's upload.
func remoteName(fence int64) string {
	return providers.RemoteName("cas0123456789", "report.txt", cas.DigestOf([]byte("text")), ".txt", fence)
}

// TestRequests: the two requests of an upload, with the key in a header, never in a URL,
// and not with the bytes.
func TestRequests(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls []string
	var headers []http.Header
	sim := geminisim.New(geminisim.Options{Key: key})
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		calls, headers = append(calls, r.Method+" "+r.URL.Path), append(headers, r.Header)
		if strings.Contains(r.URL.String(), key) {
			t.Errorf("the key is in the URL %s", r.URL)
		}
		mu.Unlock()
		sim.ServeHTTP(w, r)
	}))
	p := with(t, base+geminisim.Prefix)
	f, err := p.Upload(t.Context(), upload(remoteName(7), "text/plain; charset=utf-8", "text"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), f.ID); err != nil {
		t.Fatal(err)
	}
	want := []string{"POST /upload/v1beta/files", "POST /upload/v1beta/files", "DELETE /v1beta/files/" + f.ID}
	if !slices.Equal(calls, want) {
		t.Fatalf("the requests are %v; want %v", calls, want)
	}
	for i, wantKey := range []string{key, "", key} {
		if got := headers[i].Get("X-Goog-Api-Key"); got != wantKey || headers[i].Get("Authorization") != "" {
			t.Errorf("%s: headers %v", calls[i], headers[i])
		}
	}
	if got := sim.LastUpload(); got.MediaType != "text/plain" || got.FileName != remoteName(7) || got.ContentLength != 4 {
		t.Errorf("the upload is %+v", got)
	}
}

// TestChosenName: an upload of a copy has an id that follows from its remote name; an
// upload whose reply was lost is found by it, and another attempt has another one.
func TestChosenName(t *testing.T) {
	t.Parallel()
	valid := regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,38}[a-z0-9]$`)
	first, second := gemini.FileID(remoteName(1)), gemini.FileID(remoteName(2))
	if !valid.MatchString(first) || !valid.MatchString(second) || first == second || gemini.FileID("report.txt") != "" {
		t.Fatalf("the ids are %q and %q", first, second)
	}
	p, sim := open(t, geminisim.Options{})
	sim.Fail(simulator.Fault{Op: providers.OpUpload, Times: 1, Kind: simulator.Cut, Applied: true})
	_, err := p.Upload(t.Context(), upload(remoteName(1), "text/plain", "text"))
	if providers.KindOf(err) != providers.KindUnknown {
		t.Fatalf("a lost reply: %v", err)
	}
	f, err := p.Retrieve(t.Context(), first)
	if err != nil || f.Name != remoteName(1) || f.Size != 4 {
		t.Errorf("looked up: %+v, %v", f, err)
	}
	again, err := p.Upload(t.Context(), upload(remoteName(1), "text/plain", "text"))
	if err != nil || again != f || sim.Uploads() != 1 || sim.Requests(providers.OpList) != 0 {
		t.Errorf("uploaded again: %+v, %v, %d uploads, %d lists; want the same file", again, err, sim.Uploads(), sim.Requests(providers.OpList))
	}
	if _, err := p.Upload(t.Context(), upload(remoteName(1), "text/plain", "other text")); providers.KindOf(err) != providers.KindPermanent {
		t.Errorf("another file under the same name: %v", err)
	}
	if f, err := p.Upload(t.Context(), upload(remoteName(2), "text/plain", "text")); err != nil || f.ID != second {
		t.Errorf("another attempt: %+v, %v", f, err)
	}
}

// TestStart: no failure of the first request leaves a file, so each may be repeated.
func TestStart(t *testing.T) {
	t.Parallel()
	p, sim := open(t, geminisim.Options{})
	for _, kind := range []simulator.FaultKind{simulator.Cut, simulator.Down, simulator.HTMLTimeout, simulator.Garbage} {
		sim.Fail(simulator.Fault{Op: geminisim.OpStart, Times: 1, Kind: kind})
		_, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text"))
		if providers.KindOf(err) != providers.KindTransient {
			t.Errorf("%s: %v of kind %s", kind, err, providers.KindOf(err))
		}
	}
	if len(sim.Files()) > 0 || sim.Requests(providers.OpUpload) > 0 {
		t.Errorf("there is %+v", sim.Files())
	}
}

// TestUploadURLOnAnotherHost: the bytes go to the configured host, or nowhere.
func TestUploadURLOnAnotherHost(t *testing.T) {
	t.Parallel()
	var reached sync.Once
	other := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Do(func() { t.Error("the other host was reached") }) }))
	for _, host := range []string{other, "https://evil.example", "http://user@" + strings.TrimPrefix(other, "http://"), "file://"} {
		p, sim := open(t, geminisim.Options{UploadHost: host})
		_, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text"))
		if providers.KindOf(err) != providers.KindPermanent || !strings.Contains(err.Error(), "CAS_GEMINI_BASE_URL") || sim.Uploads() > 0 {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestDigest: other bytes than the sent ones are no success, and don't stay. Both forms
// of the hash are read.
func TestDigest(t *testing.T) {
	t.Parallel()
	for _, form := range []geminisim.Hash{geminisim.HashOfHex, geminisim.HashRaw, geminisim.HashMissing} {
		p, _ := open(t, geminisim.Options{Hash: form})
		if _, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text")); err != nil {
			t.Errorf("%q: %v", form, err)
		}
	}
	p, sim := open(t, geminisim.Options{Hash: geminisim.HashWrong})
	_, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text"))
	if providers.KindOf(err) != providers.KindTransient || !strings.Contains(err.Error(), "SHA-256") || len(sim.Files()) > 0 {
		t.Errorf("another digest: %v; left %+v", err, sim.Files())
	}
	sim.Fail(simulator.Fault{Op: providers.OpDelete, Times: 1, Kind: simulator.HTMLTimeout})
	if _, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text")); providers.KindOf(err) != providers.KindUnknown {
		t.Errorf("another digest, and the delete failed: %v", err)
	}
}

// TestLifetime: a file is kept for 48 hours, and then answers the 403 of a lost file.
func TestLifetime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	p, _ := open(t, geminisim.Options{Now: clock})
	f, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text"))
	if err != nil || !f.ExpiresAt.Equal(now.Add(48*time.Hour)) || p.Describe().Purposes[0].Lifetime() != 48*time.Hour {
		t.Fatalf("%+v, %v", f, err)
	}
	mu.Lock()
	now = now.Add(48 * time.Hour)
	mu.Unlock()
	if _, err := p.Retrieve(t.Context(), f.ID); providers.KindOf(err) != providers.KindLost {
		t.Errorf("after its time: %v", err)
	}
	if _, err := gemini.New(providers.Settings{APIKey: key, Lifetime: time.Hour}); err == nil || !strings.Contains(err.Error(), "CAS_GEMINI_LIFETIME") {
		t.Errorf("another lifetime: %v", err)
	}
}

// TestUnpaidBill: with an unpaid bill each call gets the 403 of a lost file. Then no file
// counts as lost.
func TestUnpaidBill(t *testing.T) {
	t.Parallel()
	p, _ := open(t, geminisim.Options{Unpaid: true})
	_, retrieve := p.Retrieve(t.Context(), "abc")
	_, poll := p.Poll(t.Context(), "abc")
	for op, err := range map[providers.Op]error{providers.OpRetrieve: retrieve, providers.OpPoll: poll, providers.OpDelete: p.Delete(t.Context(), "abc")} {
		if providers.KindOf(err) != providers.KindAuth || !strings.Contains(err.Error(), "billing") {
			t.Errorf("%s: %v of kind %s", op, err, providers.KindOf(err))
		}
	}
	// Where the list fails for another reason, nothing is known about the file.
	p, sim := open(t, geminisim.Options{})
	sim.Fail(simulator.Fault{Op: providers.OpList, Times: 1, Kind: simulator.HTMLTimeout})
	if err := p.Delete(t.Context(), "abc"); providers.KindOf(err) != providers.KindTransient {
		t.Errorf("the list doesn't answer: %v", err)
	}
	if err := p.Delete(t.Context(), "abc"); providers.KindOf(err) != providers.KindLost {
		t.Errorf("the list answers: %v", err)
	}
}

// TestFailedProcessing: a file with an error in it is an answer, and not a failed call.
func TestFailedProcessing(t *testing.T) {
	t.Parallel()
	p, _ := open(t, geminisim.Options{FailProcessing: true, Polls: 1})
	f, err := p.Upload(t.Context(), upload("a.mp4", "video/mp4", "text"))
	if err != nil || f.Status != providers.StatusProcessing {
		t.Fatalf("%+v, %v", f, err)
	}
	for range 2 {
		if f, err = p.Poll(t.Context(), f.ID); err != nil {
			t.Fatal(err)
		}
	}
	if f.Status != providers.StatusFailed || f.Detail != "the file can't be processed" {
		t.Errorf("%+v", f)
	}
}

// TestErrorTable: the words decide, and some kinds have a hint.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	p, sim := open(t, geminisim.Options{})
	hints := map[string]string{
		"not valid": "CAS_GEMINI_API_KEY", "unregistered": "CAS_GEMINI_API_KEY", "leaked": "CAS_GEMINI_API_KEY", "storage": "20 GB", "exceeded": "slow down",
		"location": "billing", "authentication": "CAS_GEMINI_API_KEY",
	}
	found := 0
	for _, row := range geminisim.Errors {
		if row.Op != providers.OpUpload {
			continue
		}
		for _, op := range []providers.Op{geminisim.OpStart, providers.OpUpload} {
			row.Op = op
			sim.Fail(row.Fault(1))
			_, err := p.Upload(t.Context(), upload("a.txt", "text/plain", "text"))
			kinds := row.Kinds
			if op == geminisim.OpStart && slices.Contains(kinds, providers.KindUnknown) {
				kinds = []providers.Kind{providers.KindTransient} // nothing is stored yet
			}
			if !slices.Contains(kinds, providers.KindOf(err)) {
				t.Errorf("%s, %d %s %q: %v of kind %s; want %v", op, row.Status, row.Code, row.Message, err, providers.KindOf(err), kinds)
			}
			for part, hint := range hints {
				if strings.Contains(row.Message, part) {
					found++
					if !strings.Contains(err.Error(), hint) {
						t.Errorf("%q: %v; want a hint with %q", row.Message, err, hint)
					}
				}
			}
		}
	}
	if found < 2*len(hints) {
		t.Errorf("%d hints were checked; want each one", found)
	}
}

// TestReferences: the part and the media type follow from the file's type.
func TestReferences(t *testing.T) {
	t.Parallel()
	p := with(t, "http://127.0.0.1:1/v1beta")
	const uri = "https://generativelanguage.googleapis.com/v1beta/files/abc"
	for _, test := range []struct{ name, mediaType, kinds, stored string }{
		{"a.pdf", "application/pdf", "file_data document", "application/pdf"},
		{"a", "application/x-pdf", "file_data document", "application/pdf"},
		{"a.md", "text/markdown; charset=utf-8", "file_data document", "text/markdown"},
		{"a.rs", "text/x-rust", "file_data document", "text/plain"},
		{"a.json", "application/json", "file_data document", "text/plain"},
		{"a.jpg", "image/jpg", "file_data image", "image/jpeg"},
		{"a.png", "", "file_data image", "image/png"},
		{"a.mp3", "audio/mpeg", "file_data audio", "audio/mpeg"},
		{"a.mp4", "video/mp4", "file_data video", "video/mp4"},
		{"a.zip", "application/zip", "file_data", "application/zip"},
		{"a.bin", "application/octet-stream", "", ""},
	} {
		kinds := p.References(test.mediaType, providers.Extension(test.name, test.mediaType))
		var names []string
		for _, kind := range kinds {
			names = append(names, kind.Name)
			got, err := p.Reference(kind, providers.Material{FileID: "abc", Name: test.name, MediaType: test.mediaType})
			want := fmt.Sprintf(`{"fileData":{"mimeType":%q,"fileUri":%q}}`, test.stored, uri)
			if kind.Name != "file_data" {
				want = fmt.Sprintf(`{"type":%q,"uri":%q,"mime_type":%q}`, kind.Name, uri, test.stored)
			}
			if err != nil || !sameJSON(string(got), want) {
				t.Errorf("%s %s: %s, %v; want %s", test.name, test.mediaType, got, err, want)
			}
		}
		if strings.Join(names, " ") != test.kinds {
			t.Errorf("%s %s: kinds %v; want %s", test.name, test.mediaType, names, test.kinds)
		}
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}

// Other programs record a file by its resource name or URI.
func TestFileIDs(t *testing.T) {
	t.Parallel()
	p, _ := open(t, geminisim.Options{})
	for _, text := range []string{"abc-1", "files/abc-1", "https://generativelanguage.googleapis.com/v1beta/files/abc-1"} {
		if got := p.Describe().FileID(text); got != "abc-1" {
			t.Errorf("%s: %s", text, got)
		}
	}
}
