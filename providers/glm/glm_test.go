package glm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/glm"
	"casgate/providers/simulator"
	"casgate/providers/simulator/glmsim"
)

func upload(name, purpose, text string) providers.Upload {
	return providers.Upload{
		Name: name, Purpose: purpose, MediaType: "text/plain", Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

// kinds is what each code means.
var kinds = map[providers.Kind][]string{
	providers.KindAuth:      {"1000", "1001", "1002", "1003", "1004", "1005", "1110", "1111", "1112", "1121", "1220", "434"},
	providers.KindQuota:     {"1113", "1303", "1304", "1308", "1309", "1310", "1311", "1313"},
	providers.KindTransient: {"500", "1120", "1200", "1230", "1234", "1302", "1305", "1312"},
	providers.KindPermanent: {"1210", "1211", "1212", "1213", "1214", "1215", "1221", "1222", "1261", "1301", "435"},
}

// TestErrorTable walks the whole table, with the errors' own status and with 200:
// the code counts.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	hints := map[string]string{
		"1000": "CAS_GLM_API_KEY and CAS_GLM_BASE_URL", "1220": "CAS_GLM_API_KEY", "1112": "locked", "1113": "top it up", "1301": "refuses",
		"1302": "slow down", "1308": "plan", "434": "access", "435": "smaller",
	}
	for _, status200 := range []bool{false, true} {
		p, server := open(t, glmsim.Options{ErrorsIn200: status200}, glm.Settings{})
		for _, row := range glmsim.Errors {
			var want providers.Kind
			for kind, codes := range kinds {
				if slices.Contains(codes, row.Code) {
					want = kind
				}
			}
			tooMany := row.Code == "1302"
			if row.TooMany { // 1210, whose message alone says what it is about
				want, tooMany = providers.KindQuota, true
			}
			server.Fail(row.Fault(1))
			_, err := p.Upload(t.Context(), upload("a.txt", "agent", "text"))
			e, ok := errors.AsType[*providers.Error](err)
			if !ok {
				t.Errorf("%s: no error", row.Code)
				continue
			}
			status := row.Status
			if status200 {
				status = http.StatusOK
			}
			if e.Kind != want || e.Status != status || e.Code != row.Code || e.TooMany != tooMany || e.RetryAfter != 0 || e.Message != row.Message {
				t.Errorf("%d %s %s:\n got %+v\nwant kind %q, TooMany %t", row.Status, row.Code, row.Message, *e, want, tooMany)
			}
			if hint := hints[row.Code]; !strings.Contains(e.Hint, hint) {
				t.Errorf("%s: the hint is %q; want %q in it", row.Code, e.Hint, hint)
			}
		}
	}
}

// TestBodies: errors in the shapes and at the statuses that were seen.
func TestBodies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status         int
		body           string
		upload, delete providers.Kind
	}{
		{200, `{"msg":"Required request parameter 'file_type' for method parameter type String is not present","code":500}`, providers.KindPermanent, providers.KindPermanent},
		{200, `{"msg":"something broke","code":500}`, providers.KindTransient, providers.KindTransient},
		{200, `{"id":"f","deleted":true,"status":"failed","error":{"code":"1113","message":"no"}}`, providers.KindQuota, providers.KindQuota},
		{200, `{"error":{"code":1302,"message":"no"}}`, providers.KindTransient, providers.KindTransient},
		{200, `{"error":{"code":"9999","message":"no"}}`, providers.KindUnknown, providers.KindTransient},
		{400, `{"error":{"code":1214,"message":"no"}}`, providers.KindPermanent, providers.KindLost},
		{404, `{"error":{"code":"1222","message":"no"}}`, providers.KindPermanent, providers.KindLost},
		{404, `<html>`, providers.KindPermanent, providers.KindPermanent},
		{429, `{"error":{"message":"file upload frequency too fast"}}`, providers.KindTransient, providers.KindTransient},
		{429, `{"error":{"message":"您的账户余额不足，请充值"}}`, providers.KindQuota, providers.KindQuota},
		{429, `{"error":{"code":"1321","message":"no"}}`, providers.KindQuota, providers.KindQuota},
		{434, ``, providers.KindAuth, providers.KindAuth},
		{435, `<html>`, providers.KindPermanent, providers.KindPermanent},
		{400, `{"error":{"code":"9999","message":"file content anomaly"}}`, providers.KindPermanent, providers.KindPermanent},
		{200, `{"id":"f","fileName":"b.txt","filename":null,"deleted":true}`, "", ""},
	} {
		p := with(t, glm.Settings{Settings: providers.Settings{BaseURL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(test.status)
			io.WriteString(w, test.body)
		}))}})
		f, err := p.Upload(t.Context(), upload("a.txt", "agent", "text"))
		if providers.KindOf(err) != test.upload || err == nil && f.Name != "b.txt" {
			t.Errorf("upload answered %d %s: %+v, kind %q (%v); want %q", test.status, test.body, f, providers.KindOf(err), err, test.upload)
		}
		if err := p.Delete(t.Context(), "f"); providers.KindOf(err) != test.delete {
			t.Errorf("delete answered %d %s: kind %q (%v); want %q", test.status, test.body, providers.KindOf(err), err, test.delete)
		}
	}
}

// TestDeleteOfAMissingFile: whichever way the provider has of saying so.
func TestDeleteOfAMissingFile(t *testing.T) {
	t.Parallel()
	for _, way := range []glmsim.MissingDelete{glmsim.Missing404, glmsim.Missing400, glmsim.MissingUndeleted} {
		for _, status200 := range []bool{false, true} {
			p, _ := open(t, glmsim.Options{MissingDelete: way, ErrorsIn200: status200}, glm.Settings{})
			if err := p.Delete(t.Context(), "no-such-file"); providers.KindOf(err) != providers.KindLost {
				t.Errorf("%q, with 200 %t: %v", way, status200, err)
			}
		}
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	p, server := open(t, glmsim.Options{FileName: true}, glm.Settings{})
	for i := range 250 {
		server.Put(simulator.RemoteFile{ID: fmt.Sprint("agent-", i), Name: fmt.Sprint(i, ".txt"), Purpose: "agent", Head: []byte("x")})
	}
	server.Put(simulator.RemoteFile{ID: "voice-1", Name: "a.mp3", Purpose: "voice-clone-input", Head: []byte("x")})
	n := 0
	for f, err := range p.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if f.Purpose != "agent" || !strings.HasSuffix(f.Name, ".txt") {
			t.Errorf("listed %+v", f)
		}
		n++
	}
	// Three pages of the agent's, one for each of the others that can be listed.
	if n != 250 || server.Requests(providers.OpList) != 5 {
		t.Errorf("%d files in %d requests", n, server.Requests(providers.OpList))
	}
	for f, err := range p.List(t.Context(), "voice-clone-input") {
		if providers.KindOf(err) != providers.KindPermanent {
			t.Errorf("listed %+v, %v: the provider doesn't list these", f, err)
		}
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, zai := range []bool{false, true} {
		var want time.Time
		if zai {
			want = created.Add(180 * 24 * time.Hour)
		}
		p, _ := open(t, glmsim.Options{International: zai, Now: func() time.Time { return created }}, glm.Settings{Zai: zai})
		f, err := p.Upload(t.Context(), upload("a.txt", "agent", "text"))
		if err != nil || !f.ExpiresAt.Equal(want) {
			t.Errorf("Z.ai %t: %+v, %v; want it to expire at %s", zai, f, err, want)
		}
		for f, err := range p.List(t.Context(), "agent") {
			if err != nil || !f.ExpiresAt.Equal(want) {
				t.Errorf("Z.ai %t: listed %+v, %v", zai, f, err)
			}
		}
	}
}

func TestDescription(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		settings glm.Settings
		host     string
		purposes []string
	}{
		{glm.Settings{}, "open.bigmodel.cn", []string{"agent", "code-interpreter", "batch", "voice-clone-input"}},
		{glm.Settings{Zai: true}, "api.z.ai", []string{"agent"}},
		{glm.Settings{Settings: providers.Settings{BaseURL: "https://api.z.ai/api/coding/paas/v4"}}, "api.z.ai", []string{"agent"}},
		{glm.Settings{Settings: providers.Settings{BaseURL: glm.BigModelURL}}, "open.bigmodel.cn", []string{"agent", "code-interpreter", "batch", "voice-clone-input"}},
	} {
		d := with(t, test.settings).Describe()
		var purposes []string
		for _, p := range d.Purposes {
			purposes = append(purposes, p.Name)
		}
		if d.Provider != "glm" || d.Host != test.host || !slices.Equal(purposes, test.purposes) {
			t.Errorf("%+v: got %s, %s, %q", test.settings, d.Provider, d.Host, purposes)
		}
	}
	d := with(t, glm.Settings{}).Describe()
	agent := d.Purposes[0]
	for _, test := range []struct {
		extension string
		size      int64
		refused   bool
	}{{".pdf", 20 << 20, false}, {".pdf", 20<<20 + 1, true}, {".png", 5 << 20, false}, {".png", 5<<20 + 1, true}, {".zip", 1, true}, {".txt", 0, true}} {
		if err := d.Check(agent, test.extension, test.size); (err != nil) != test.refused {
			t.Errorf("%s of %d bytes: %v", test.extension, test.size, err)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	if p, err := glm.Open(providers.Settings{APIKey: key}); err != nil || p.Describe().Provider != "glm" {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := glm.Open(providers.Settings{}); err == nil || p != nil || !strings.Contains(err.Error(), "CAS_GLM_API_KEY") {
		t.Errorf("without a key: %v, %v", p, err)
	}
	for _, bad := range []string{"no-dot", "a.b.c", ".secret", "id."} {
		if _, err := glm.New(glm.Settings{Settings: providers.Settings{APIKey: bad}, JWT: true}); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("a key without two parts: %v", err)
		}
	}
}

// TestToken: the token is made anew for each request, and never the key itself.
func TestToken(t *testing.T) {
	t.Parallel()
	p, _ := open(t, glmsim.Options{}, glm.Settings{JWT: true})
	if _, err := p.Upload(t.Context(), upload("a.txt", "agent", "text")); err != nil {
		t.Error(err)
	}
	late, _ := open(t, glmsim.Options{Now: func() time.Time { return time.Now().Add(4 * time.Minute) }}, glm.Settings{JWT: true})
	_, err := late.Upload(t.Context(), upload("a.txt", "agent", "text"))
	if e, _ := errors.AsType[*providers.Error](err); e == nil || e.Code != "1003" {
		t.Errorf("4 minutes later: %v; want that it has expired", err)
	}
	headers := make(chan string, 1)
	seen := with(t, glm.Settings{JWT: true, Settings: providers.Settings{BaseURL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Get("Authorization")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"code":"1002","message":"bad: %s"}}`, r.Header.Get("Authorization"))
	}))}})
	err = seen.Delete(t.Context(), "f")
	token := strings.TrimPrefix(<-headers, "Bearer ")
	if strings.Contains(token, secret) || strings.Count(token, ".") != 2 {
		t.Errorf("the token is %s", token)
	}
	if err == nil || strings.Contains(err.Error(), token[:40]) {
		t.Errorf("the token is told: %v", err)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	materials := map[providers.Need]providers.Material{
		providers.NeedCopy: {FileID: "file-1"}, providers.NeedURL: {URL: "https://h.example/b?x=1&y=2"}, providers.NeedBytes: {Bytes: []byte("bytes")},
	}
	const inline = `image_base64 bytes  {"type":"image_url","image_url":{"url":"Ynl0ZXM="}}`
	const file, agentFile = `file_url url  {"type":"file_url","file_url":{"url":"https://h.example/b?x=1&y=2"}}`, `agent_file_url url  {"type":"file_url","file_url":"https://h.example/b?x=1&y=2"}`
	const image, agentImage = `image_url url  {"type":"image_url","image_url":{"url":"https://h.example/b?x=1&y=2"}}`, `agent_image_url url  {"type":"image_url","image_url":"https://h.example/b?x=1&y=2"}`
	const video, batch = `video_url url  {"type":"video_url","video_url":{"url":"https://h.example/b?x=1&y=2"}}`, `input_file_id copy batch "file-1"`
	const agent, code = `file_id copy agent {"type":"file_id","file_id":"file-1"}`, `code_interpreter copy code-interpreter "file-1"`
	for _, test := range []struct {
		zai                  bool
		mediaType, extension string
		want                 []string
	}{
		{false, "application/pdf", ".pdf", []string{file, agent, code, agentFile}},
		{false, "application/pdf", "", []string{file, agent, code, agentFile}},
		{false, "text/plain; charset=utf-8", ".txt", []string{file, agent, code, agentFile}},
		{false, "text/plain", ".rs", []string{file, agent, code, agentFile}},
		{false, "image/png", ".png", []string{image, inline, agent, code, agentImage}},
		{false, "image/jpeg", "", []string{image, inline, agent, code, agentImage}},
		{false, "image/webp", ".webp", nil},
		{false, "video/mp4", ".mp4", []string{video}},
		{false, "video/x-matroska", ".mkv", []string{video}},
		{false, "video/webm", ".webm", nil},
		{false, "application/vnd.openxmlformats-officedocument.presentationml.presentation", ".pptx", []string{file, agentFile}},
		{false, "application/jsonl", ".jsonl", []string{batch, file, agent, code, agentFile}},
		{false, "text/plain", ".jsonl", []string{batch, file, agent, code, agentFile}},
		{false, "audio/mpeg", ".mp3", []string{`voice_file_id copy voice-clone-input "file-1"`}},
		{false, "application/zip", ".zip", nil},
		{true, "application/pdf", ".pdf", []string{file, agent, agentFile}},
		{true, "application/jsonl", ".jsonl", []string{file, agent, agentFile}},
	} {
		p := with(t, glm.Settings{Zai: test.zai})
		var got []string
		for _, kind := range p.References(test.mediaType, test.extension) {
			value, err := p.Reference(kind, materials[kind.Needs])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(kind.Name, " ", kind.Needs, " ", kind.Purpose, " ", string(value)))
			if _, err := p.Reference(kind, providers.Material{Text: "text"}); providers.KindOf(err) != providers.KindPermanent {
				t.Errorf("%s without material: %v", kind.Name, err)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v:\n got %s", test, strings.Join(got, "\n     "))
		}
	}
}

// TestSizesByURL: GLM reads images to 5 MB and videos to 200 MB.
func TestSizesByURL(t *testing.T) {
	t.Parallel()
	p := with(t, glm.Settings{})
	for extension, want := range map[string]int64{".png": 5 << 20, ".mov": 200 << 20, ".pdf": 0} {
		if got := p.References("", extension)[0].MaxSize; got != want {
			t.Errorf("%s: %d bytes, want %d", extension, got, want)
		}
		wantSide := 0
		if extension == ".png" {
			wantSide = 6000
		}
		if got := p.References("", extension)[0].MaxSide; got != wantSide {
			t.Errorf("%s: %d pixels, want %d", extension, got, wantSide)
		}
	}
}

// TestNoLookups: there is no way to look at one file.
func TestNoLookups(t *testing.T) {
	t.Parallel()
	p, err := glm.Open(providers.Settings{APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	_, retrieves := providers.Ability[providers.Retriever](p)
	_, polls := providers.Ability[providers.Poller](p)
	_, extracts := providers.Ability[providers.TextExtractor](p)
	_, downloads := providers.Ability[providers.Downloader](p)
	if retrieves || polls || extracts || downloads {
		t.Errorf("retrieves %t, polls %t, extracts %t, downloads %t", retrieves, polls, extracts, downloads)
	}
}
