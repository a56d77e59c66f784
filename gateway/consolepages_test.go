package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/providers"
	"casgate/providers/replicator"
)

// consolePage is the console in a browser.
type consolePage struct {
	*chromium
	*server
	t *testing.T
}

// js writes a value as JavaScript.
func js(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and numbers can be written
	}
	return string(text)
}

// openConsole opens the console as a browser does, and logs in.
func openConsole(t *testing.T, c *chromium, s *server) *consolePage {
	t.Helper()
	p := &consolePage{c, s, t}
	c.open(s.url + "/")
	c.until("the log-in", `document.querySelector('.login #token')`)
	p.logInWith(s.token)
	c.until("the view of files", `document.querySelector('h1').textContent === 'Files'`)
	return p
}

func (p *consolePage) logInWith(token string) {
	p.t.Helper()
	p.evaluate(`(() => { const i = document.getElementById('token'); i.value = ` + js(token) + `; i.form.requestSubmit() })()`)
}

// view goes to a view, whose heading must be as given.
func (p *consolePage) view(fragment, heading string) {
	p.t.Helper()
	p.evaluate(`location.hash = ` + js(fragment))
	p.until("the view "+fragment, `document.querySelector('h1').textContent === `+js(heading)+` && !document.querySelector('main').innerText.includes('Loading…')`)
}

// click clicks a button or a link by its text, within what a selector names.
func (p *consolePage) click(within, text string) {
	p.t.Helper()
	find := `[...document.querySelectorAll(` + js(within) + `)].flatMap((e) => [...e.querySelectorAll('button, a, summary')]).find((b) => !b.disabled && b.textContent === ` + js(text) + `)`
	p.until("the button "+text, find)
	p.evaluate(find + `.click()`)
}

// droppedFile is a file that a test drops on the page.
type droppedFile struct{ Name, Type, Content string }

// drop drops files on the page, and waits until their uploads are over.
func (p *consolePage) drop(files ...droppedFile) {
	p.t.Helper()
	p.evaluate(`(() => {
		const data = new DataTransfer()
		for (const f of ` + js(files) + `) data.items.add(new File([f.Content], f.Name, { type: f.Type }))
		for (const kind of ['dragenter', 'dragover', 'drop']) document.querySelector('main').dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }))
	})()`)
	p.until("the uploads", fmt.Sprintf(`document.querySelectorAll('.tray li').length === %d && [...document.querySelectorAll('.tray li')].every((li) => ['done', 'failed'].includes(li.dataset.state))`, len(files)))
}

// uploads returns the state and the sent bytes of each upload in the tray, and closes it.
func (p *consolePage) uploads() string {
	p.t.Helper()
	shown := p.evaluate(`[...document.querySelectorAll('.tray li')].map((li) => li.dataset.state + ' ' + li.dataset.sent).join(', ')`).(string)
	p.click(".tray", "Close")
	return shown
}

// confirm confirms the open dialog, after typing a text if it asks for one.
func (p *consolePage) confirm(typed, action string) {
	p.t.Helper()
	p.until("the dialog", `document.querySelector('dialog[open]')`)
	if typed != "" {
		if p.evaluate(`document.querySelector('dialog button.danger').disabled`) != true {
			p.t.Error("the dialog can be confirmed before the name is typed")
		}
		p.evaluate(`(() => { const i = document.querySelector('dialog input'); i.value = ` + js(typed) + `; i.dispatchEvent(new Event('input')) })()`)
	}
	p.click("dialog", action)
	p.until("the end of the dialog", `!document.querySelector('dialog')`)
}

// The whole console, in one browser.
func TestConsoleInChromium(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("CAS_TEST_THOROUGH=1 runs it")
	}
	t.Parallel()
	c := startChromium(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *chromium)
	}{
		{"all the way", testConsoleAllTheWay}, {"sessions and tokens", testConsoleSessionsAndTokens}, {"other pages", testConsoleSessionIsOfNoUseToOtherPages},
		{"hostile content", testConsoleRunsNoContent}, {"previews", testConsolePreviews}, {"searches", testConsoleFindsFiles}, {"many files", testConsoleListsManyFiles},
		{"looks", testConsoleLooks},
	} {
		t.Run(test.name, func(t *testing.T) {
			whole := c.t
			c.t = t
			defer func() { c.t = whole }()
			c.open("about:blank")
			c.call("Network.clearBrowserCookies", nil, nil) // they don't tell two ports of a host apart
			test.run(t, c)
		})
	}
}

// startConsole runs a gateway with two providers in memory, of which one is marked as a
// simulator, and its console in a browser.
func startConsole(t *testing.T, c *chromium) (*consolePage, *remote) {
	t.Helper()
	s, kimi := startCopier(t, embedded(t, t.TempDir()), func(o *replicator.Options) {
		oneAttempt(o)
		o.Providers[0].(*remote).about.Simulated = true
	}, nil)
	return openConsole(t, c, s), kimi
}

// gradient returns a picture in PNG.
func gradient(t *testing.T) string {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, 240, 160))
	for i := range 240 * 160 {
		picture.Set(i%240, i/240, color.RGBA{R: uint8(i % 240), G: uint8(i / 240), B: 150, A: 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// fileOf waits for a file with this name, and returns its id.
func (p *consolePage) fileOf(name string) string {
	p.t.Helper()
	list := decode[api.FileList](p.t, p.do("GET", "/v1/files", nil))
	for _, f := range list.Data {
		if f.Filename == name {
			return f.ID
		}
	}
	p.t.Fatalf("there is no file %q", name)
	return ""
}

// A person logs in, uploads, makes copies, and deletes.
func testConsoleAllTheWay(t *testing.T, c *chromium) {
	p, kimi := startConsole(t, c)
	p.until("the empty list", `document.querySelector('.empty h2').textContent === 'No files yet'`)
	p.until("the banner", `document.querySelector('.banner').textContent.includes('glm')`)

	text := "a report of\nthree lines\n" + strings.Repeat("x", 5000)
	p.drop(droppedFile{"report.txt", "text/plain", text})
	if got := p.uploads(); got != fmt.Sprintf("done %d", len(text)) {
		t.Errorf("the upload of new bytes is %q", got)
	}
	p.until("the row", `document.querySelector('.row .name').textContent === 'report.txt'`)
	puts := strings.Count(p.logs.String(), `"method":"PUT","path":"/v1/blobs/`)
	p.drop(droppedFile{"the same report.txt", "text/plain", text}, droppedFile{"empty.txt", "text/plain", ""})
	if got := p.uploads(); got != "done 0, done 0" {
		t.Errorf("the upload of known bytes is %q", got)
	}
	// Only the empty file is new. A known file sends no bytes.
	if n := strings.Count(p.logs.String(), `"method":"PUT","path":"/v1/blobs/`) - puts; n != 1 {
		t.Errorf("known bytes were sent: %d PUTs", n)
	}

	id := p.fileOf("report.txt")
	p.view("#/files/"+id, "report.txt")
	p.until("the preview", `document.querySelector('.preview pre').textContent === `+js(text))
	p.until("the copies", `document.querySelectorAll('.copy[data-state=none]').length === 2`)
	release := kimi.holdUploads(t)
	p.click("[data-provider=kimi]", "Sync")
	p.until("the sign of work", `document.querySelector('[data-provider=kimi] [data-sign=working]')`)
	release()
	p.until("the sign of a copy", `document.querySelector('[data-provider=kimi][data-state=ready] [data-sign=ready]')`)
	p.click("[data-provider=kimi]", "Use in a chat")
	p.until("the reference", `document.querySelector('pre[aria-label=Reference]').textContent.includes('text')`)
	p.click("section", "Show the text")
	p.until("the extracted text", `[...document.querySelectorAll('section pre')].some((e) => e.textContent.includes('A REPORT OF'))`)
	p.click(".facts", "Make a URL")
	p.until("the signed URL", `document.querySelector('.facts .result code').textContent.includes('signature=')`)
	kimi.forget(kimi.ids()[0])
	p.click("[data-provider=kimi]", "Report lost")
	p.confirm("", "Report it lost")
	castest.Eventually(t, "the file is uploaded again", func() bool { return len(kimi.ids()) == 1 })
	p.until("the copy again", `document.querySelector('[data-provider=kimi][data-state=ready]')`)
	p.click("[data-provider=kimi]", "Delete there")
	p.confirm("", "Delete it there")
	p.until("no copy", `document.querySelector('[data-provider=kimi][data-state=none]')`)
	p.click("[data-provider=glm]", "Sync")
	p.until("a copy at glm", `document.querySelector('[data-provider=glm][data-state=ready]')`)

	p.view("#/files", "Files")
	p.until("the sign in the list", `[...document.querySelectorAll('.row')].find((r) => r.querySelector('.name').textContent === 'report.txt').querySelector('[aria-label="glm: ready"]')`)
	p.view("#/providers", "Providers")
	p.click("[data-provider=kimi]", "Reconcile: dry run")
	p.until("the report", `document.querySelector('[data-provider=kimi] [role=status]').textContent.includes('no differences')`)

	p.view("#/files/"+p.fileOf("the same report.txt"), "the same report.txt")
	p.click("main", "Delete everywhere")
	p.confirm("the same report.txt", "Delete everywhere")
	p.until("the bytes stay", `document.querySelector('h1').textContent === 'Deleted' && document.querySelector('main').innerText.includes('Its bytes stay')`)
	p.view("#/files/"+id, "report.txt")
	p.click("main", "Delete everywhere")
	p.confirm("report.txt", "Delete everywhere")
	p.until("the copies are gone", `document.querySelector('h1').textContent === 'Deleted' && document.querySelector('main').innerText.includes('glm: deleted')`)
	if a := p.do("GET", "/v1/files/"+id, nil); a.StatusCode != 404 {
		t.Errorf("the file is still there: %d", a.StatusCode)
	}

	p.view("#/operations", "Operations")
	p.until("the delete in the journal", `[...document.querySelectorAll('.row .kind')].some((e) => e.textContent === 'delete')`)
	before := p.put([]byte("made while the page follows"))
	p.until("an operation that was made meanwhile", `document.querySelector('.rows a[title=`+js(before.String())+`]')`)
}

// Errors are in the words of the API, and a session ends with its token.
func testConsoleSessionsAndTokens(t *testing.T, c *chromium) {
	s, _ := startCopier(t, embedded(t, t.TempDir()), nil, nil)
	p := &consolePage{c, s, t}
	c.open(s.url + "/")
	p.until("the log-in", `document.querySelector('.login #token')`)
	p.logInWith("cas_wrong")
	p.until("the error", `document.querySelector('[role=alert]').textContent.includes('Send a valid token') && document.querySelector('[role=alert] code').textContent === 'unauthenticated'`)
	p.logInWith(s.token)
	p.until("the view of files", `document.querySelector('h1').textContent === 'Files'`)
	if cookie := p.evaluate(`document.cookie`); cookie != "" {
		t.Errorf("scripts can read the cookie %q", cookie)
	}

	p.view("#/tokens", "Tokens")
	p.evaluate(`(() => { document.querySelector('details.panel').open = true; document.querySelector('[name=name]').value = 'a <b>program</b>'; document.querySelector('form.form').requestSubmit() })()`)
	p.until("the secret", `document.getElementById('secret').textContent.startsWith('cas_')`)
	secret := p.evaluate(`document.getElementById('secret').textContent`).(string)
	if a := s.do("GET", "/v1/files", nil, "Authorization", "Bearer "+secret); a.StatusCode != 200 {
		t.Errorf("the new token: %d %s", a.StatusCode, a.body)
	}
	p.click(".secret", "Done")
	const line = `[...document.querySelectorAll('.token')].find((li) => li.querySelector('strong').textContent === 'a <b>program</b>')`
	p.until("the token in the list", line)
	p.evaluate(line + `.querySelector('button').click()`)
	p.confirm("", "Revoke it")
	p.until("the revoked token", line+`.dataset.state === 'over'`)
	if a := s.do("GET", "/v1/files", nil, "Authorization", "Bearer "+secret); a.StatusCode != 401 {
		t.Errorf("the revoked token: %d", a.StatusCode)
	}

	// The session ends within five seconds of its token, whatever gateway revoked it.
	id, _, _ := strings.Cut(strings.TrimPrefix(s.token, "cas_"), "_")
	if err := s.parts.index.RevokeToken(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.view("#/operations", "Operations") // which asks every two seconds
	p.until("the log-in with the reason", `document.querySelector('.login .note').textContent.includes('has ended')`)

	s.token = s.newToken(access.ScopeAdmin)
	p.logInWith(s.token)
	p.until("the view again", `document.querySelector('h1').textContent === 'Operations'`)
	p.evaluate(`document.querySelector('.menu').open = true`)
	p.click(".menu", "Log out")
	p.until("the log-in", `document.querySelector('.login .note').textContent.includes('logged out')`)
	if status := p.evaluate(`fetch('/v1/files').then((a) => a.status)`); status != float64(401) {
		t.Errorf("after the log-out: %v", status)
	}
}

// A page of another port has the cookie sent, and gets no further.
func testConsoleSessionIsOfNoUseToOtherPages(t *testing.T, c *chromium) {
	p, _ := startConsole(t, c)
	p.put([]byte("a blob"))
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>another page</title>")
	}))
	t.Cleanup(foreign.Close)
	p.open(foreign.URL)
	blobs := p.blobCount()
	for _, r := range [][2]string{{"POST", "/v1/blobs"}, {"GET", "/v1/files"}, {"GET", p.path(cas.DigestOf([]byte("a blob")))}, {"GET", p.path(cas.DigestOf([]byte("a blob"))) + "/references/kimi"}} {
		options := `{ method: ` + js(r[0]) + `, mode: 'no-cors', credentials: 'include' }`
		if r[0] == "POST" {
			options = `{ method: 'POST', mode: 'no-cors', credentials: 'include', body: 'foreign bytes' }`
		}
		p.evaluate(`fetch(` + js(p.url+r[1]) + `, ` + options + `).then((a) => a.type)`)
		// 403: the cookie came, and counted for nothing.
		castest.Eventually(t, "the refusal in the log", func() bool {
			for line := range strings.Lines(p.logs.String()) {
				if strings.Contains(line, `"method":"`+r[0]+`","path":"`+r[1]+`","status":403`) {
					return true
				}
			}
			return false
		})
	}
	if got := p.evaluate(`fetch(` + js(p.url+"/v1/files") + `, { credentials: 'include' }).then((a) => a.status, (e) => 'refused')`); got != "refused" {
		t.Errorf("another page reads the files: %v", got)
	}
	if p.blobCount() != blobs {
		t.Error("another page has uploaded")
	}
}

// Names, contents and messages with markup run nothing in the console.
func testConsoleRunsNoContent(t *testing.T, c *chromium) {
	p, kimi := startConsole(t, c)
	b := newBeacon(t, hostiles)
	attack := func(name string) string {
		return strings.ReplaceAll(`"><img src=x onerror="`+runJS+`"><script>`+runJS+`</script>`, "BEACON", b.URL+"/at-the-console/ran/"+name)
	}
	refusal := &providers.Error{Kind: providers.KindPermanent, Provider: "kimi", Message: attack("message"), Code: attack("code")[:60], Hint: attack("hint")}
	kimi.breaks(providers.OpUpload, refusal)
	var files []droppedFile
	for _, h := range hostiles {
		files = append(files, droppedFile{h.name, h.mediaType, h.content(b.URL + "/at-the-console")})
	}
	files = append(files, droppedFile{attack("name")[:200], "text/plain", "text"})
	p.drop(files...)
	if got := p.uploads(); strings.Contains(got, "failed") {
		t.Fatalf("uploads: %s", got)
	}
	created := p.newFile("plain.txt", "text of a file", field("tags", `"><img src=x>`), field("context", attack("context")[:200]), field("metadata[k]", attack("metadata")))
	p.view("#/tokens", "Tokens")
	p.view("#/files", "Files")
	p.until("the rows", `document.querySelectorAll('.row').length >= 6`)
	for _, f := range decode[api.FileList](t, p.do("GET", "/v1/files", nil)).Data {
		p.view("#/files/"+f.ID, f.Filename)
		p.until("the preview of "+f.Filename, `document.querySelector('.preview > *')`)
		switch {
		case f.MediaType == "application/pdf":
			p.until("the document", `document.querySelector('.preview iframe').contentWindow !== null`)
		case f.MediaType == "image/svg+xml":
			p.until("the picture", `document.querySelector('.preview img').complete`)
		default:
			p.until("the source", `document.querySelector('.preview pre')`)
		}
	}
	p.view("#/files/"+created.ID, "plain.txt")
	p.click("[data-provider=kimi]", "Sync")
	p.until("the error in words", `document.querySelector('[data-provider=kimi] .copy-error').textContent.includes('<script>')`)
	p.view("#/operations", "Operations")
	p.view("#/providers", "Providers")
	if n := p.evaluate(`document.querySelectorAll('img[src=x], main script').length`); n != float64(0) {
		t.Errorf("%v elements are made of text", n)
	}
	// The control calls the beacon after all that the console began.
	p.open(b.URL + "/page/html")
	castest.Eventually(t, "the control runs", func() bool { return strings.Contains(b.calls(), "page.html") })
	if calls := b.calls(); strings.Contains(calls, "/at-the-console/") {
		t.Errorf("it ran: %s", calls)
	}
}

// A text, a picture and a document have a preview; the picture shows its pixels.
func testConsolePreviews(t *testing.T, c *chromium) {
	p, _ := startConsole(t, c)
	picture := p.newFile("picture.png", gradient(t), field("media_type", "image/png"))
	p.view("#/files/"+picture.ID, "picture.png")
	p.until("the picture", `document.querySelector('.preview img').naturalWidth === 240`)
	long := p.newFile("long.txt", strings.Repeat("line\n", 100_000))
	p.view("#/files/"+long.ID, "long.txt")
	p.until("the start of the text", `document.querySelector('.preview pre').textContent.length === 262144 && document.querySelector('.preview .quiet').textContent.includes('500 kB')`)
	document := p.newFile("paper.pdf", redPage, field("media_type", "application/pdf"))
	p.view("#/files/"+document.ID, "paper.pdf")
	// A blob's own policy lets the browser's viewer show it. A frame that the policy blocks
	// has no page in it.
	castest.Eventually(t, "the page of the document", func() bool { return p.redPixels(".preview iframe") > 100 })
	if p.evaluate(`document.querySelector('.preview iframe').hasAttribute('sandbox')`) != false {
		t.Error("the frame has an attribute that keeps the browser's viewer out")
	}
	other := p.newFile("bytes.bin", "\x00\x01\x02\xff", field("media_type", "application/octet-stream"))
	p.view("#/files/"+other.ID, "bytes.bin")
	p.until("the advice", `document.querySelector('.preview').textContent.includes('There is no preview')`)
	empty := p.newFile("empty.txt", "")
	p.view("#/files/"+empty.ID, "empty.txt")
	p.until("the empty file", `document.querySelector('.preview').textContent === 'This file is empty.'`)
}

// redPage is a PDF document of one red page.
const redPage = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R>>endobj\n" +
	"4 0 obj<</Length 23>>stream\n1 0 0 rg 0 0 99 99 re f\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

// redPixels counts the red pixels of an element, as the browser shows it.
func (p *consolePage) redPixels(selector string) int {
	p.t.Helper()
	clip := p.evaluate(`(() => {
		const e = document.querySelector(` + js(selector) + `)
		e.scrollIntoView()
		const r = e.getBoundingClientRect()
		return { x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height, scale: 1 }
	})()`)
	shown, err := png.Decode(bytes.NewReader(p.screenshot(map[string]any{"clip": clip})))
	if err != nil {
		p.t.Fatal(err)
	}
	red := 0
	for y := shown.Bounds().Min.Y; y < shown.Bounds().Max.Y; y++ {
		for x := shown.Bounds().Min.X; x < shown.Bounds().Max.X; x++ {
			if r, g, b, _ := shown.At(x, y).RGBA(); r > 0xc000 && g < 0x4000 && b < 0x4000 {
				red++
			}
		}
	}
	return red
}

// Searches find files by each of their marks, and by bytes.
func testConsoleFindsFiles(t *testing.T, c *chromium) {
	p, _ := startConsole(t, c)
	one := p.newFile("report one.txt", "one", field("tags", "red tag"), field("context", "board"))
	p.newFile("report two.txt", "two", field("tags", "blue"))
	p.newFile("other.txt", "three")
	search := func(text string, want ...string) {
		t.Helper()
		p.evaluate(`(() => { const i = document.getElementById('search'); i.value = ` + js(text) + `; i.form.requestSubmit() })()`)
		p.until("the result of "+text, `document.getElementById('search').value === `+js(text)+` && [...document.querySelectorAll('.row .name')].map((e) => e.textContent).sort().join() === `+js(strings.Join(want, ",")))
	}
	p.view("#/files", "Files")
	search("report", "report one.txt", "report two.txt")
	search(`tag:"red tag"`, "report one.txt")
	search("report tag:blue", "report two.txt")
	search("context:board", "report one.txt")
	search("purpose:user_data", "other.txt", "report one.txt", "report two.txt")
	search("sha256:"+*one.SHA256, "report one.txt")
	search("nothing")
	p.until("the advice", `document.querySelector('.empty h2').textContent === 'No file matches'`)
	p.evaluate(`(() => {
		const data = new DataTransfer()
		data.items.add(new File(['two'], 'whatever.txt'))
		document.getElementById('search').dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }))
	})()`)
	p.until("the file with the pasted bytes", `location.hash.includes('sha256=') && document.querySelectorAll('.row').length === 1 && document.querySelector('.row .name').textContent === 'report two.txt'`)
}

// A long list keeps few rows in the document, and the keyboard reaches its end. With
// CAS_TEST_CONSOLE_FIGURES=1 it is of 10,000 files, and the figures are worth reading.
func testConsoleListsManyFiles(t *testing.T, c *chromium) {
	many, loads := 2500, 1
	if os.Getenv("CAS_TEST_CONSOLE_FIGURES") == "1" {
		many, loads = 10_000, 5
	}
	parts := embedded(t, t.TempDir())
	s, _ := startCopier(t, parts, nil, nil)
	parts.importMany(t, many, "user_data")
	p := openConsole(t, c, s)
	p.until("the first rows", `document.querySelectorAll('.row').length > 10`)
	p.evaluate(`document.querySelector('.row').focus()`)
	for range 3 {
		p.press("ArrowDown", 40, "")
	}
	p.until("the fourth row has the focus", `document.activeElement === [...document.querySelectorAll('.row')].find((r) => r.parentElement.getAttribute('aria-posinset') === '4')`)
	p.until("the end of the list", `(() => {
		if (!document.querySelector('.list-status').textContent.startsWith((`+js(many)+`).toLocaleString('en') + ' files')) { scrollTo(0, document.documentElement.scrollHeight); return false }
		return true
	})() && document.querySelectorAll('.row').length < 120`)
	p.evaluate(`document.querySelector('.row').focus()`)
	p.press("End", 35, "")
	p.until("the last row has the focus", fmt.Sprintf(`document.activeElement.parentElement.getAttribute('aria-posinset') === '%d'`, many))
	p.press("Enter", 13, "\r")
	p.until("the file", `location.hash.startsWith('#/files/file-') && document.querySelector('h1').textContent.endsWith('.txt')`)
	p.evaluate(`history.back()`)
	p.until("the list where it was left", fmt.Sprintf(`document.activeElement.parentElement.getAttribute('aria-posinset') === '%d'`, many))
	p.evaluate(`document.querySelector('h1').focus()`)
	p.press("/", 191, "/")
	p.until("the search has the focus", `document.activeElement.id === 'search' && document.activeElement.value === ''`)
	t.Log("first paint of each load, in ms: ", p.firstPaints(loads))
	t.Log("scrolled from the first file to the last, times in ms: ", p.scrollThrough(many))
}

// firstPaints loads the page anew, and returns when the browser painted something for the
// first time, in milliseconds after the navigation began.
func (p *consolePage) firstPaints(loads int) []any {
	p.t.Helper()
	var paints []any
	for range loads {
		p.open("about:blank")
		p.open(p.url + "/console/")
		p.until("the list", `document.querySelectorAll('.row').length > 10 && performance.getEntriesByName('first-paint').length === 1`)
		paints = append(paints, p.evaluate(`Math.round(performance.getEntriesByName('first-paint')[0].startTime)`))
	}
	return paints
}

// scrolled is a part of a scroll through a list. Times are in milliseconds.
type scrolled struct {
	Frames, Tasks []float64 // the time of each frame, and of each task of more than 50
	Rows, Blank   int       // most rows in the document; frames with no row in the middle
	AtEnd         bool
}

// scrollThrough scrolls the list to its end, some 66 rows a frame, and returns how long the
// frames took, and the processor time of the page's thread. It checks what doesn't depend on
// the machine: the rows in the document stay few, and the list ends with the last file.
func (p *consolePage) scrollThrough(files int) string {
	p.t.Helper()
	p.call("Performance.enable", map[string]any{"timeDomain": "threadTicks"}, nil)
	before := p.taskTime()
	var all scrolled
	for !all.AtEnd {
		part := p.scrollOn(files)
		all.Frames, all.Tasks = append(all.Frames, part.Frames...), append(all.Tasks, part.Tasks...)
		all.Rows, all.Blank, all.AtEnd = max(all.Rows, part.Rows), all.Blank+part.Blank, part.AtEnd
		if len(all.Frames) > files {
			p.t.Fatalf("%d frames later, the list has not come to its end", len(all.Frames))
		}
	}
	if all.Rows > 120 {
		p.t.Errorf("%d rows were in the document", all.Rows)
	}
	slices.Sort(all.Frames)
	at := func(part float64) float64 { return all.Frames[int(part*float64(len(all.Frames)-1))] }
	return fmt.Sprintf("%d frames, half of them over %.0f, 5 %% over %.0f, the longest %.0f; processor time of a frame %.1f; %d tasks over 50, the longest %.0f; at most %d rows; %d frames without a row in the middle",
		len(all.Frames), at(0.5), at(0.95), at(1), 1000*(p.taskTime()-before)/float64(len(all.Frames)), len(all.Tasks), slices.Max(append(all.Tasks, 0)), all.Rows, all.Blank)
}

// scrollOn scrolls for some frames, or until the last row is in the window.
func (p *consolePage) scrollOn(files int) scrolled {
	p.t.Helper()
	var part scrolled
	text := p.evaluate(`new Promise((done) => {
		const frames = [], tasks = []
		const watch = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)))
		watch.observe({ entryTypes: ['longtask'] })
		let last = 0, rows = 0, blank = 0
		const step = (now) => {
			if (last) frames.push(now - last)
			last = now
			rows = Math.max(rows, document.querySelectorAll('.row').length)
			if (!document.elementFromPoint(innerWidth / 2, innerHeight / 2)?.closest('.row')) blank++
			const end = document.querySelector('[aria-posinset="` + fmt.Sprint(files) + `"]')
			const atEnd = Boolean(end && end.getBoundingClientRect().bottom <= innerHeight)
			if (atEnd || frames.length === 30) {
				watch.disconnect()
				done(JSON.stringify({ Frames: frames, Tasks: tasks, Rows: rows, Blank: blank, AtEnd: atEnd }))
				return
			}
			scrollBy(0, 2400)
			requestAnimationFrame(step)
		}
		requestAnimationFrame(step)
	})`).(string)
	if err := json.Unmarshal([]byte(text), &part); err != nil {
		p.t.Fatal(err)
	}
	return part
}

// taskTime returns the processor time of the page's main thread, in seconds.
func (p *consolePage) taskTime() float64 {
	p.t.Helper()
	var answer struct {
		Metrics []struct {
			Name  string
			Value float64
		}
	}
	p.call("Performance.getMetrics", nil, &answer)
	for _, m := range answer.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	p.t.Fatalf("no processor time among %v", answer.Metrics)
	return 0
}

// Each view, in both colour schemes and at 360 px, has no barrier that axe finds, and
// doesn't scroll sideways. With CAS_TEST_SCREENSHOTS it leaves a picture of each there.
func testConsoleLooks(t *testing.T, c *chromium) {
	p, kimi := startConsole(t, c)
	axe, err := os.ReadFile(filepath.Join(castest.NodeModules(t, "../scripts/axe-node"), "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	views := p.furnish(kimi)
	p.view("#/tokens", "Tokens")    // coming back to the list, the page learns of the files
	p.evaluate(string(axe) + `; 1`) // the page's policy does not count for the debugger
	folder := os.Getenv("CAS_TEST_SCREENSHOTS")
	for _, width := range []int{1280, 360} {
		p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false}, nil)
		for _, scheme := range []string{"light", "dark"} {
			p.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{
				map[string]string{"name": "prefers-color-scheme", "value": scheme}, map[string]string{"name": "prefers-reduced-motion", "value": "reduce"},
			}}, nil)
			for _, v := range views {
				p.view(v.fragment, v.heading)
				p.until(v.name, v.ready)
				if wide := p.evaluate(`document.documentElement.scrollWidth`).(float64); wide > float64(width) {
					t.Errorf("%s at %d px is %v px wide", v.name, width, wide)
				}
				if found := p.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary).join('\n')).join('\n'))`); found != "" {
					t.Errorf("%s, %s, %d px: %s", v.name, scheme, width, found)
				}
				if folder != "" {
					p.picture(filepath.Join(folder, fmt.Sprintf("%s-%s-%d.png", v.name, scheme, width)))
				}
			}
		}
	}
}

// lookedAt is a view of the console with something in it.
type lookedAt struct{ name, fragment, heading, ready string }

// furnish fills the gateway with files and copies, and returns the views to look at.
func (p *consolePage) furnish(kimi *remote) []lookedAt {
	p.t.Helper()
	for i, name := range []string{"thesis", "survey results", "roadmap", "release plan", "proposal", "pricing", "onboarding", "minutes", "meeting notes", "manual", "invoice", "contract", "architecture", "annual report"} {
		f := p.newFile(name+".md", strings.Repeat("# "+name+"\n\nSome words about it.\n\n", 10*i+7), field("tags", "draft"), field("context", "board"))
		if i%3 == 0 {
			p.ensureFile(f.ID, "glm")
		}
		if i%4 == 0 {
			p.ensureFile(f.ID, "kimi")
		}
	}
	picture := p.newFile("cover.png", gradient(p.t), field("media_type", "image/png"), field("tags", "cover"), field("metadata[owner]", "design"))
	p.ensureFile(picture.ID, "kimi")
	kimi.breaks(providers.OpUpload, &providers.Error{Kind: providers.KindPermanent, Provider: "kimi", Status: 400, Code: "invalid_file", Message: "the file's text can't be read", Hint: "Send a PDF with text, or text."})
	report := p.newFile("budget 2026 (final).md", strings.Repeat("# Budget\n\nRevenue rises by 4 %, costs by 2 %.\n\n", 60), field("tags", "final"), field("context", "board"), field("metadata[owner]", "finance"))
	p.ensureFile(report.ID, "glm")
	p.do("PUT", "/v1/files/"+report.ID+"/copies/kimi", nil)
	p.newToken(access.ScopeRead, access.ScopeWrite)
	for what, ready := range map[string]string{"the journal has the failure": `"outcome":"failed"`, "the journal has the file": report.ID} {
		castest.Eventually(p.t, what, func() bool { return strings.Contains(string(p.do("GET", "/v1/operations", nil).body), ready) })
	}
	return []lookedAt{
		{"files", "#/files", "Files", `document.querySelectorAll('.row [data-sign=ready]').length > 3`},
		{"no-files", "#/files?name=nothing", "Files", `document.querySelector('.empty')`},
		{"file", "#/files/" + report.ID, "budget 2026 (final).md", `document.querySelector('.preview pre') && document.querySelectorAll('.copy').length === 2`},
		{"picture", "#/files/" + picture.ID, "cover.png", `document.querySelector('.preview img').complete && document.querySelectorAll('.copy').length === 2`},
		{"providers", "#/providers", "Providers", `document.querySelectorAll('.card').length === 2`},
		{"operations", "#/operations", "Operations", `document.querySelectorAll('.row').length > 10`},
		{"tokens", "#/tokens", "Tokens", `document.querySelectorAll('.token').length > 1`},
	}
}

// ensureFile makes a copy of a file.
func (p *consolePage) ensureFile(id, provider string) {
	p.t.Helper()
	if a := p.do("PUT", "/v1/files/"+id+"/copies/"+provider, nil); a.StatusCode != 200 {
		p.t.Fatalf("PUT of a copy: %d %s", a.StatusCode, a.body)
	}
}

// picture writes a picture of the page.
func (p *consolePage) picture(name string) {
	p.t.Helper()
	if err := os.WriteFile(name, p.screenshot(nil), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// screenshot returns a picture of the page in PNG.
func (p *consolePage) screenshot(options map[string]any) []byte {
	p.t.Helper()
	var shot struct{ Data []byte }
	p.call("Page.captureScreenshot", options, &shot)
	return shot.Data
}
