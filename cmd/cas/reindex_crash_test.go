package main

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cmd/cas/internal/settings"
	"casgate/gateway/api"
	"casgate/index/pgindex/pgtest"
	"casgate/providers/simulator"
	"casgate/providers/simulator/openaisim"
)

// lostIndex is a set-up whose index is lost while no gateway runs.
type lostIndex struct {
	t        *testing.T
	env      []string
	provider simulator.Control
	export   string
	// blobs are in the export; later ones are in the object store alone.
	blobs, later map[cas.Digest][]byte
	copied       cas.Digest
	fileID       string
}

// newLostIndex fills a set-up, and exports its index before the last blobs come.
func newLostIndex(t *testing.T, env []string) *lostIndex {
	t.Helper()
	sim := openaisim.New(openaisim.Options{Key: openAIKey})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	x := &lostIndex{
		t: t, provider: sim.Control, export: filepath.Join(t.TempDir(), "export.jsonl"),
		env:   append(env, "CAS_OPENAI_API_KEY="+openAIKey, "CAS_OPENAI_BASE_URL="+server.URL+openaisim.Prefix),
		blobs: map[cas.Digest][]byte{}, later: map[cas.Digest][]byte{},
	}
	p := serveProcess(t, casCommand(t, x.env, "serve"))
	for i := range 3 {
		b := castest.RandomBytes(1000 + i)
		x.copied = p.store(b)
		x.blobs[x.copied] = b
	}
	x.copy(p)
	x.fileID = p.createFile("named.txt", []byte("the bytes of a file"))
	x.run("export", "-q", "-o", x.export)
	b := castest.RandomBytes(2000)
	x.later[p.store(b)] = b
	p.kill()
	return x
}

// copy asks for a copy of a blob, and waits for it.
func (x *lostIndex) copy(p *process) {
	x.t.Helper()
	if status, body, err := p.request("PUT", "/v1/blobs/"+x.copied.String()+"/copies/openai?wait=60s", nil); err != nil || status != 200 && status != 201 {
		x.t.Fatalf("copy: %d %s, %v\n%s", status, body, err, p.log())
	}
}

// createFile makes a file, and returns its id.
func (p *process) createFile(name string, content []byte) string {
	p.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", name)
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = form.WriteField("purpose", "user_data")
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/v1/files", &body)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var file api.File
	if err := json.NewDecoder(response.Body).Decode(&file); err != nil || response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusOK {
		p.t.Fatalf("create a file: %d, %v", response.StatusCode, err)
	}
	return file.ID
}

// value returns a setting of the set-up.
func (x *lostIndex) value(name string) string {
	for _, entry := range x.env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			return v
		}
	}
	return ""
}

// lose removes the index: the files on disk, or the schema of the database.
func (x *lostIndex) lose() {
	x.t.Helper()
	url := x.value("CAS_DATABASE_URL")
	if url == "" {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(filepath.Join(x.value("CAS_DATA_DIR"), settings.SQLiteFile+suffix)); err != nil && !os.IsNotExist(err) {
				x.t.Fatal(err)
			}
		}
		return
	}
	pgtest.DropSchema(x.t, url)
	x.run("migrate", "up")
}

// run runs a command, which must succeed.
func (x *lostIndex) run(args ...string) {
	x.t.Helper()
	if out, code := scrubCommand(x.t, x.env, args...); code != 0 {
		x.t.Fatalf("cas %q exits with %d\n%s", args, code, out)
	}
}

// wantAll checks that all blobs are readable, and with the export also the file and the
// copy, which no provider gets again.
func (x *lostIndex) wantAll(withExport bool) {
	x.t.Helper()
	p := serveProcess(x.t, casCommand(x.t, x.env, "serve"))
	defer p.kill()
	for _, blobs := range []map[cas.Digest][]byte{x.blobs, x.later} {
		for d, b := range blobs {
			checkBlob(x.t, p, d, len(b), true)
		}
	}
	if !withExport {
		return
	}
	if status, body, err := p.request("GET", "/v1/files/"+x.fileID+"/content", nil); err != nil || status != 200 || string(body) != "the bytes of a file" {
		x.t.Errorf("the file is answered %d %s, %v", status, body, err)
	}
	x.copy(p)
	if n := x.provider.Uploads(); n != 1 {
		x.t.Errorf("the provider got %d uploads; want 1", n)
	}
}

// The index is lost: the file, or the schema of Postgres. `cas reindex` is killed at each
// step, and repeated. Then each blob, file and copy is there, and no provider has got an
// upload twice.
func TestReindexOutlivesACrashAtEachStep(t *testing.T) {
	for name, env := range map[string]func(*testing.T) []string{"embedded": embeddedEnv, "served": servedEnv} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newLostIndex(t, env(t))
			for _, step := range castest.Steps(stepBlobsRead, stepAdopting, stepOthersRead, stepIndexMarked, stepAdopted, stepStoreMarked) {
				x.lose()
				if out, code := scrubCommand(t, append(x.env, killAtVariable+"="+string(step)), "reindex", "-q", "--from", x.export); code != -1 {
					t.Fatalf("cas reindex was not killed at %s: exit code %d\n%s", step, code, out)
				}
				x.run("reindex", "-q", "--from", x.export)
				x.wantAll(true)
				if t.Failed() {
					t.Fatalf("after a crash at %s", step)
				}
			}
		})
	}
}

// Without an export, the store alone makes each blob readable. An export that is found
// later brings the files and copies back.
func TestReindexWithoutTheExport(t *testing.T) {
	for name, env := range map[string]func(*testing.T) []string{"embedded": embeddedEnv, "served": servedEnv} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newLostIndex(t, env(t))
			x.lose()
			x.run("reindex", "-q")
			x.wantAll(false)
			x.run("reindex", "-q", "--from", x.export)
			x.wantAll(true)
		})
	}
}
