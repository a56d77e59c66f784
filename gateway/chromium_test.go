package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
)

// chromium is a headless browser, spoken to by the DevTools protocol through pipes.
type chromium struct {
	t       *testing.T
	in      *os.File
	answers chan devTools
	next    int
	session string // of the one tab
}

// devTools is a message of the DevTools protocol.
type devTools struct {
	ID        int             `json:"id,omitempty"`
	Session   string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
	eventBody json.RawMessage
}

// needChromium makes sure that there is Chromium. Root gets it installed where tests may not
// be skipped.
func needChromium(t *testing.T) string {
	t.Helper()
	if program, err := exec.LookPath("chromium"); err == nil {
		return program
	}
	if os.Getenv("CAS_TEST_DISALLOW_SKIP") != "1" {
		t.Skip("chromium is not installed")
	}
	if out, err := exec.Command("../scripts/debian-install", "chromium").CombinedOutput(); err != nil {
		t.Fatalf("CAS_TEST_DISALLOW_SKIP=1 forbids to skip: %v\n%s", err, out)
	}
	return "chromium"
}

// browsing lets one browser run at a time: each fills a machine of two cores.
var browsing sync.Mutex

// startChromium starts a browser with one tab. It ends with the test.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	browsing.Lock()
	t.Cleanup(browsing.Unlock)
	program := needChromium(t)
	toBrowser, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
		"--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	castest.EndWithParent(cmd, syscall.SIGKILL)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	c := &chromium{t: t, in: in, answers: make(chan devTools, 10_000)}
	var reader sync.WaitGroup
	reader.Go(func() { c.read(out) })
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // all of its processes
		_ = cmd.Wait()                                      // it was killed
		in.Close()
		reader.Wait()
		out.Close()
		if t.Failed() {
			t.Logf("chromium: %s", log.String())
		}
	})
	var target struct{ TargetID string }
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	c.call("Page.enable", nil, nil)
	return c
}

// read reads messages, which end with a NUL.
func (c *chromium) read(out *os.File) {
	messages := bufio.NewReaderSize(out, 1<<20)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			close(c.answers)
			return
		}
		text = text[:len(text)-1]
		var m devTools
		var event struct{ Params json.RawMessage }
		if json.Unmarshal(text, &m) != nil || json.Unmarshal(text, &event) != nil {
			continue
		}
		m.eventBody = event.Params
		c.answers <- m
	}
}

// receive returns the next message for which is true.
func (c *chromium) receive(what string, is func(devTools) bool) devTools {
	c.t.Helper()
	limit := time.After(castest.WaitLimit)
	for {
		select {
		case m, ok := <-c.answers:
			if !ok {
				c.t.Fatalf("the browser ended before %s", what)
			}
			if is(m) {
				return m
			}
		case <-limit:
			c.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// call makes a call and decodes its result.
func (c *chromium) call(method string, params, result any) {
	c.t.Helper()
	if err := c.try(method, params, result); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

func (c *chromium) try(method string, params, result any) error {
	c.t.Helper()
	c.next++
	if params == nil {
		params = map[string]any{}
	}
	text, err := json.Marshal(devTools{ID: c.next, Session: c.session, Method: method, Params: params})
	if err != nil {
		return err
	}
	if _, err := c.in.Write(append(text, 0)); err != nil {
		return err
	}
	answer := c.receive("the answer of "+method, func(m devTools) bool { return m.ID == c.next })
	if len(answer.Error) > 0 {
		return errors.New(string(answer.Error))
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// open opens a URL in the tab and waits until it has loaded. It reports whether the tab
// shows it: a download is not shown.
func (c *chromium) open(url string) bool {
	c.t.Helper()
	var gone struct{ ErrorText string }
	c.call("Page.navigate", map[string]any{"url": url}, &gone)
	if gone.ErrorText != "" {
		return false
	}
	c.receive("the end of loading "+url, func(m devTools) bool { return m.Method == "Page.loadEventFired" })
	return true
}

// evaluate returns the value of an expression in the page. A promise is waited for.
func (c *chromium) evaluate(expression string) any {
	c.t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	c.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	if len(answer.ExceptionDetails) > 0 {
		c.t.Fatalf("%.200s: %s", expression, answer.ExceptionDetails)
	}
	return answer.Result.Value
}

// until waits until an expression is true in the page.
func (c *chromium) until(what, expression string) {
	c.t.Helper()
	limit := (castest.WaitLimit - 10*time.Second).Milliseconds()
	held := c.evaluate(fmt.Sprintf(`new Promise((done) => {
		const end = performance.now() + %d
		const look = () => {
			try { if (%s) return done(true) } catch { /* not there yet */ }
			if (performance.now() > end) return done(false)
			setTimeout(look, 15)
		}
		look()
	})`, limit, expression))
	if held != true {
		c.t.Fatalf("waited in vain for %s in the page:\n%s", what, c.evaluate(`document.body.innerText`))
	}
}

// press presses a key in the page.
func (c *chromium) press(key string, virtualCode int, text string) {
	c.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		event := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": virtualCode}
		if kind == "keyDown" && text != "" {
			event["text"] = text
		}
		c.call("Input.dispatchKeyEvent", event, nil)
	}
}

// recordVideo lets the browser record a second of moving pictures.
const recordVideo = `new Promise((done, fail) => {
	const canvas = document.createElement('canvas'); canvas.width = canvas.height = 64
	const draw = canvas.getContext('2d'); let n = 0
	const tick = setInterval(() => { draw.fillStyle = 'hsl(' + (n++ * 20) + ',90%,50%)'; draw.fillRect(0, 0, 64, 64) }, 40)
	const recorder = new MediaRecorder(canvas.captureStream(25), {mimeType: 'video/webm;codecs=vp8'})
	const chunks = []
	recorder.ondataavailable = e => chunks.push(e.data)
	recorder.onerror = fail
	recorder.onstop = () => {
		clearInterval(tick)
		const reader = new FileReader()
		reader.onload = () => done(reader.result.split(',')[1])
		reader.readAsDataURL(new Blob(chunks))
	}
	recorder.start(); setTimeout(() => recorder.stop(), 1500)
})`

// wav returns two seconds of a tone.
func wav() []byte {
	const rate, samples = 8000, 16000
	var b bytes.Buffer
	b.WriteString("RIFF")
	_ = binary.Write(&b, binary.LittleEndian, uint32(36+samples))
	b.WriteString("WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(rate), uint32(rate), uint16(1), uint16(8)} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, uint32(samples))
	for i := range samples {
		b.WriteByte(byte(128 + 60*(i/10%2)))
	}
	return b.Bytes()
}

// beacon is a server that hostile content calls if it runs.
type beacon struct {
	*httptest.Server
	mu     sync.Mutex
	called []string
}

func newBeacon(t *testing.T, pages map[string]hostile) *beacon {
	b := &beacon{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if page, ok := pages[strings.TrimPrefix(r.URL.Path, "/page/")]; ok {
			w.Header().Set("Content-Type", page.mediaType)
			fmt.Fprint(w, page.content(b.URL))
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if strings.Contains(r.URL.Path, "/ran/") {
			b.called = append(b.called, r.URL.Path)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *beacon) calls() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.called, " ")
}

// hostile is content that calls the beacon if a browser runs it.
type hostile struct {
	name, mediaType, text string // BEACON stands for the beacon's URL
	// runs: a browser runs it if a server sends it without any protection.
	runs bool
}

func (h hostile) content(beacon string) string {
	return strings.ReplaceAll(h.text, "BEACON", beacon+"/ran/"+h.name)
}

const runJS = `fetch('BEACON', {mode: 'no-cors', keepalive: true})`

var hostiles = map[string]hostile{
	"html":  {"page.html", "text/html", `<!doctype html><title>x</title><script>` + runJS + `</script><img src=x onerror="` + runJS + `">`, true},
	"svg":   {"picture.svg", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg" onload="` + runJS + `"><script>` + runJS + `</script></svg>`, true},
	"xml":   {"data.xml", "application/xml", `<?xml version="1.0"?><x><script xmlns="http://www.w3.org/1999/xhtml">` + runJS + `</script></x>`, true},
	"xhtml": {"page.xhtml", "application/xhtml+xml", `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><script>` + runJS + `</script></body></html>`, true},
	"pdf": {"paper.pdf", "application/pdf", "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.launchURL\\('BEACON'\\); this.submitForm\\('BEACON'\\))>>>>endobj\n" +
		"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n", false},
}

// In a browser, audio and video play at their hash URLs, and no content runs.
func TestHashURLsInChromium(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("CAS_TEST_THOROUGH=1 runs it")
	}
	t.Parallel()
	c := startChromium(t)
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.PublicRead = true })
	recorded, err := base64.StdEncoding.DecodeString(c.evaluate(recordVideo).(string))
	if err != nil || len(recorded) < 1000 {
		t.Fatalf("the browser recorded %d bytes, %v", len(recorded), err)
	}
	for name, content := range map[string][]byte{"film.webm": recorded, "tone.wav": wav()} {
		mediaType := map[string]string{"film.webm": "video/webm", "tone.wav": "audio/wav"}[name]
		if !c.open(s.url + s.path(s.putAs(string(content), name, mediaType))) {
			t.Errorf("%s is not shown", name)
			continue
		}
		const player = `document.querySelector('video, audio')`
		castest.Eventually(t, name+" plays", func() bool {
			at, _ := c.evaluate(`(() => { const p = ` + player + `; if (!p) return -1; if (p.error) return -2; if (p.paused && !p.ended) p.play(); return p.currentTime })()`).(float64)
			if at == -2 {
				t.Fatalf("%s: the player failed: %v", name, c.evaluate(player+`.error.message`))
			}
			return at > 0
		})
	}

	b := newBeacon(t, hostiles)
	for kind, h := range hostiles {
		t.Run(kind, func(t *testing.T) {
			whole := c.t
			c.t = t
			defer func() { c.t = whole }()
			if h.runs { // or the test shows nothing
				c.open(b.URL + "/page/" + kind)
				castest.Eventually(t, "it runs where nothing prevents it", func() bool { return strings.Contains(b.calls(), h.name) })
			}
			hostile := h.content(b.URL + "/at-the-gateway")
			d := s.putAs(hostile, h.name, h.mediaType)
			signed, err := s.client().Blob(d).SignURL(t.Context(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			for _, address := range []string{s.url + s.path(d), s.url + s.path(d) + "?download=" + h.name, signed.URL} {
				c.open(address)
				// This page calls the beacon after whatever the one before it has begun.
				control := fmt.Sprintf("control-%d", c.next)
				c.open(b.URL + "/page/html")
				c.evaluate(`fetch('` + b.URL + `/ran/` + control + `', {mode: 'no-cors'}).then(() => 1)`)
				if !strings.Contains(b.calls(), control) {
					t.Errorf("the beacon was not called by the control: %s", b.calls())
				}
			}
			if calls := b.calls(); strings.Contains(calls, "/at-the-gateway/ran/"+h.name) {
				t.Errorf("it ran: %s", calls)
			}
		})
	}
}

// putAs stores a blob with a name and a declared media type.
func (s *server) putAs(content, name, mediaType string) cas.Digest {
	s.t.Helper()
	d := cas.DigestOf([]byte(content))
	if a := s.do("PUT", s.path(d)+"?name="+name, strings.NewReader(content), "Content-Type", mediaType); a.StatusCode != 201 {
		s.t.Fatalf("PUT: %d %s", a.StatusCode, a.body)
	}
	return d
}
