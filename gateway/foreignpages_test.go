package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
)

// useFiles uses files by OpenAI's client in a page, and returns what each call gave: a value,
// or the class and the status of its error.
const useFiles = `(async () => {
	const { default: OpenAI } = await import('/openai/index.mjs')
	const client = new OpenAI({ baseURL: BASE + '/v1', apiKey: TOKEN, dangerouslyAllowBrowser: true, maxRetries: 0 })
	const seen = {}
	const attempt = async (name, call) => {
		try { seen[name] = await call() } catch (e) { seen[name] = e.constructor.name + (e.status ? ' ' + e.status : '') + (e.requestID ? ' with its id' : '') }
	}
	let id = HELD
	await attempt('upload', async () => {
		const file = await client.files.create({ file: new File(['from a page'], 'a page.txt', { type: 'text/plain' }), purpose: 'user_data' })
		id = file.id
		return file.filename
	})
	await attempt('list', async () => {
		const names = []
		for await (const file of client.files.list({ limit: 1 })) names.push(file.filename)
		return names.sort().join()
	})
	await attempt('content', async () => (await client.files.content(id)).text())
	await attempt('delete', async () => (await client.files.delete(id)).deleted)
	await attempt('retrieve', async () => (await client.files.retrieve(id)).id)
	for (const [name, url] of Object.entries(PICTURES)) {
		seen[name] = await new Promise((done) => {
			const picture = new Image()
			picture.onload = () => done(picture.naturalWidth)
			picture.onerror = () => done('no picture')
			picture.src = url
		})
	}
	return seen
})()`

// OpenAI's client works in a page of a listed origin. A page of any other origin can use
// nothing but pictures by signed URL.
func TestOpenAIsClientInAPage(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("CAS_TEST_THOROUGH=1 runs it")
	}
	t.Parallel()
	modules := castest.NodeModules(t, nodeSuite)
	site := http.NewServeMux()
	site.Handle("/openai/", http.StripPrefix("/openai/", http.FileServer(http.Dir(filepath.Join(modules, "openai")))))
	site.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>another page</title>"))
	})
	page := httptest.NewServer(site)
	castest.Cleanup(t, page.Close)
	origin := strings.Replace(page.URL, "127.0.0.1", "localhost", 1) // another site, not only another port
	c := startChromium(t)
	for name, want := range map[string]map[string]any{
		"listed": {
			"upload": "a page.txt", "list": "a page.txt,picture.png", "content": "from a page", "delete": true,
			"retrieve": "NotFoundError 404 with its id", "signed": 240.0, "unsigned": "no picture",
		},
		"not listed": {
			"upload": "APIConnectionError", "list": "APIConnectionError", "content": "APIConnectionError", "delete": "APIConnectionError",
			"retrieve": "APIConnectionError", "signed": 240.0, "unsigned": "no picture",
		},
	} {
		t.Run(name, func(t *testing.T) {
			whole := c.t
			c.t = t
			defer func() { c.t = whole }()
			s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) {
				if name == "listed" {
					o.CORSOrigins = []string{origin}
				}
			})
			held := s.newFile("picture.png", gradient(t), field("media_type", "image/png"))
			d, err := cas.ParseDigest("sha256:" + *held.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := s.client().Blob(d).SignURL(t.Context(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			pictures := map[string]string{"signed": signed.URL, "unsigned": s.url + s.path(d)}
			c.open(origin + "/")
			script := strings.NewReplacer("BASE", js(s.url), "TOKEN", js(s.token), "HELD", js(held.ID), "PICTURES", js(pictures)).Replace(useFiles)
			seen, ok := c.evaluate(script).(map[string]any)
			if !ok || len(seen) != len(want) {
				t.Fatalf("the page saw %v", seen)
			}
			for call, got := range seen {
				if got != want[call] {
					t.Errorf("%s: %v, want %v", call, got, want[call])
				}
			}
			if a := s.do("GET", "/v1/files/"+held.ID, nil); a.StatusCode != 200 || s.blobCount() != 1 && name == "not listed" {
				t.Errorf("the picture: %d; %d blobs", a.StatusCode, s.blobCount())
			}
		})
	}
}
