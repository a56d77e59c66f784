package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/term"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
)

// screen is a command on a pseudo-terminal, and what the terminal shows.
type screen struct {
	t        *testing.T
	cmd      *exec.Cmd
	keyboard *os.File
	mu       sync.Mutex
	terminal vt10x.Terminal
	raw      strings.Builder
	ended    chan struct{} // closed when the command has closed the terminal
}

const screenRows = 24

// openScreen starts a command on a terminal of so many columns.
func openScreen(t *testing.T, columns int, cmd *exec.Cmd) *screen {
	t.Helper()
	s := &screen{t: t, cmd: cmd, terminal: vt10x.New(vt10x.WithSize(columns, screenRows)), ended: make(chan struct{})}
	var err error
	if s.keyboard, err = pty.StartWithSize(cmd, &pty.Winsize{Rows: screenRows, Cols: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		s.keyboard.Close()
	})
	go func() {
		defer close(s.ended)
		buffer := make([]byte, 4096)
		for {
			n, err := s.keyboard.Read(buffer)
			s.mu.Lock()
			_, _ = s.terminal.Write(buffer[:n]) // never fails
			s.raw.Write(buffer[:n])
			s.mu.Unlock()
			if err != nil { // Linux answers EIO at the end
				return
			}
		}
	}()
	return s
}

// volatile matches what differs between runs: ports, signatures, rates and times.
var volatile = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
	{regexp.MustCompile(` +\d+(\.\d+)? [KMG]?i?B/s`), " RATE"},
	{regexp.MustCompile(`(\d+h)?(\d+m)?\d+(\.\d+)?s( left|$)`), "TIME$4"},
	{regexp.MustCompile(`in \d+(\.\d+)?m?s$`), "in TIME"},
	{regexp.MustCompile(`, operation [^)]*`), ", operation ID"},
}

// text returns the lines of the screen, without what differs between runs.
func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for line := range strings.Lines(s.terminal.String()) {
		line = strings.TrimRight(line, " \n")
		for _, v := range volatile {
			line = v.pattern.ReplaceAllString(line, v.text)
		}
		lines = append(lines, line)
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// waitFor waits until the screen matches.
func (s *screen) waitFor(pattern string) {
	s.t.Helper()
	want := regexp.MustCompile(pattern)
	deadline := time.After(castest.WaitLimit)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !want.MatchString(s.text()) {
		select {
		case <-poll.C:
		case <-deadline:
			s.t.Fatalf("the screen never matched %s:\n%s", pattern, s.text())
		}
	}
}

// end waits for the end of the command, and returns its exit code and the last screen.
func (s *screen) end() (code int, text string) {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(castest.WaitLimit):
		s.t.Fatalf("the command does not end:\n%s", s.text())
	}
	_ = s.cmd.Wait() // its state has the exit code
	return s.cmd.ProcessState.ExitCode(), s.text()
}

// heldServer is a gateway that stores what it gets, and holds the transfer of the large file
// after half of its bytes.
type heldServer struct {
	*httptest.Server
	release func() // lets the held transfers go on
}

// heldSize is more than the buffers of a connection take.
const heldSize = 32 << 20

func holdUploads(t *testing.T) *heldServer {
	released := make(chan struct{})
	h := &heldServer{release: sync.OnceFunc(func() { close(released) })}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost { // find-missing: nothing is there
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, `{"missing":%s}`, strings.TrimSuffix(strings.TrimPrefix(string(body), `{"digests":`), "}"))
			return
		}
		if r.ContentLength == heldSize {
			_, _ = io.CopyN(io.Discard, r.Body, heldSize/2)
			<-released
		}
		_, _ = io.Copy(io.Discard, r.Body)
		digest := strings.TrimPrefix(r.URL.Path, "/v1/blobs/")
		fmt.Fprintf(w, `{"digest":"%s","size":%d,"media_type":"text/plain","created_at":"2026-11-26T00:00:00Z","deduplicated":false,"url":"http://%s/v1/blobs/%s"}`, digest, max(0, r.ContentLength), r.Host, digest[:20])
	}))
	t.Cleanup(func() { h.release(); h.Close() })
	return h
}

// screenCommand is a command in a folder of files: a large one with a long name, and many
// small ones.
func screenCommand(t *testing.T, server *heldServer, env []string, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("long-", 20)+"name.bin")
	if err := errors.Join(os.WriteFile(long, nil, 0o600), os.Truncate(long, heldSize)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "many"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 120 {
		if err := os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("%03d.txt", i)), fmt.Append(nil, i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := casCommand(t, append([]string{"CAS_URL=" + server.URL, "CAS_TOKEN=cas_id_secret", "CAS_DATA_DIR=" + dir, "CAS_CONFIG=" + dir + "/none", silenceVariable + "=1h"}, env...), args...)
	cmd.Dir = dir
	return cmd
}

// The screens of an upload, while it runs and at its end: at 60 and 120 columns, with and
// without NO_COLOR. No bar is left at the end, and a long name leaves room for the bar.
func TestScreens(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long-", 20) + "name.bin"
	zeros := cas.DigestOf(make([]byte, heldSize))
	url := "http://HOST/v1/blobs/sha256:" + zeros.Hex()[:13]
	for _, c := range []struct {
		columns int
		env     []string
	}{
		{60, nil},
		{120, []string{"NO_COLOR=1"}},
		{60, []string{"NO_COLOR=1"}},
		{120, nil},
	}[:castest.Thorough(4, 2)] {
		t.Run(fmt.Sprintf("%d columns %v", c.columns, c.env), func(t *testing.T) {
			t.Parallel()
			server := holdUploads(t)
			s := openScreen(t, c.columns, screenCommand(t, server, c.env, "put", long))
			s.waitFor(`(?m)^sending long-.*….*name\.bin \[=+>-+\] +\d+%.* RATE`)
			for _, line := range strings.Split(s.text(), "\n") {
				if len([]rune(line)) > c.columns-1 {
					t.Errorf("a line is too long: %q", line)
				}
			}
			server.release()
			code, text := s.end()
			want := fmt.Sprintf("stored            32 MiB  %s\n%s", long, url)
			if unwrapped := unwrap(text, c.columns); code != exit.OK || unwrapped != want {
				t.Errorf("exit code %d, the last screen:\n%s\nwant\n%s", code, text, want)
			}
			if strings.Contains(s.raw.String(), "\x1b[3") { // colours
				t.Errorf("there are colours: %q", s.raw.String())
			}
		})
	}
}

// The log of a gateway on a terminal has colours, unless the user wants none or the terminal
// has none.
func TestColorsOfTheLog(t *testing.T) {
	t.Parallel()
	for env, colors := range map[string]bool{"TERM=xterm": true, "NO_COLOR=1": false, "TERM=dumb": false} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			cmd := casCommand(t, []string{"CAS_LOG_FORMAT=console", "CAS_DATA_DIR=" + t.TempDir(), "TERM=xterm", "NO_COLOR=", env}, "serve")
			s := openScreen(t, 120, cmd)
			s.waitFor(`serving`)
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			code, text := s.end()
			if has := strings.Contains(s.raw.String(), "\x1b["); code != exit.OK || has != colors {
				t.Errorf("exit code %d, colours %t, want %t:\n%s", code, has, colors, text)
			}
		})
	}
}

// The list of commands fits to a narrow terminal.
func TestHelpOnANarrowTerminal(t *testing.T) {
	t.Parallel()
	s := openScreen(t, 60, casCommand(t, nil, "--help"))
	if code, text := s.end(); code != exit.OK || !strings.Contains(text, "version") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	for line := range strings.Lines(s.raw.String()) {
		if line = strings.TrimRight(line, "\r\n"); len([]rune(line)) > 60 && !strings.HasPrefix(line, `Run "cas`) { // the parser does not wrap that line
			t.Errorf("a line is too long: %q", line)
		}
	}
}

// unwrap joins the lines that a terminal has wrapped.
func unwrap(text string, columns int) string {
	var b strings.Builder
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		b.WriteString(line)
		if i < len(lines)-1 && len([]rune(line)) < columns {
			b.WriteString("\n")
		}
	}
	return b.String()
}

// Many files have one bar and a summary on a terminal, and a line each in a pipe.
func TestScreensOfManyFiles(t *testing.T) {
	t.Parallel()
	for _, columns := range []int{60, 120}[:castest.Thorough(2, 1)] {
		s := openScreen(t, columns, screenCommand(t, holdUploads(t), nil, "put", "-r", "many"))
		if code, text := s.end(); code != exit.OK || text != "120 files, 250 B: 120 stored, in TIME" {
			t.Errorf("%d columns: exit code %d, the last screen:\n%s", columns, code, text)
		}
	}
	cmd := screenCommand(t, holdUploads(t), nil, "put", "-r", "many")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if lines := strings.Count(string(out), "\n"); err != nil || lines != 120 || strings.Count(stderr.String(), "\n") != 1 || strings.Contains(stderr.String(), "\x1b") {
		t.Errorf("%v, %d lines, and %q", err, lines, stderr.String())
	}
}

// Ctrl-C ends a command with one line, on a clean screen: while bytes are sent, and while a
// pipe has no writer.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	server := holdUploads(t)
	s := openScreen(t, 80, screenCommand(t, server, nil, "put", strings.Repeat("long-", 20)+"name.bin"))
	s.waitFor(`sending long-`)
	if _, err := s.keyboard.Write([]byte{3}); err != nil { // ^C
		t.Fatal(err)
	}
	if code, text := s.end(); code != exit.Interrupted || text != "cas: interrupted" {
		t.Errorf("exit code %d, the last screen:\n%s", code, text)
	}

	cmd := screenCommand(t, server, nil, "put", "pipe")
	if err := syscall.Mkfifo(filepath.Join(cmd.Dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openScreen(t, 80, cmd)
	s.waitFor(`opening pipe`)
	if _, err := s.keyboard.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if code, text := s.end(); code != exit.Interrupted || text != "cas: interrupted" {
		t.Errorf("a pipe: exit code %d, the last screen:\n%s", code, text)
	}
}

// Ctrl-C and a signal end the question for a token at once, and the terminal shows again what
// is typed.
func TestCtrlCAtTheToken(t *testing.T) {
	t.Parallel()
	fresh, other, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	defer other.Close()
	want, err := term.GetState(int(fresh.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*screen) error{
		"Ctrl-C":  func(s *screen) error { _, err := s.keyboard.Write([]byte{3}); return err },
		"SIGTERM": func(s *screen) error { return s.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		s := openScreen(t, 80, casCommand(t, []string{"CAS_CONFIG=" + t.TempDir() + "/none"}, "login", "http://127.0.0.1:9"))
		s.waitFor(`^Token:`)
		if err := end(s); err != nil {
			t.Fatal(err)
		}
		code, text := s.end()
		if code != exit.Interrupted || text != "cas: interrupted" {
			t.Errorf("%s: exit code %d, the last screen:\n%s", name, code, text)
		}
		if now, err := term.GetState(int(s.keyboard.Fd())); err != nil || !reflect.DeepEqual(now, want) {
			t.Errorf("%s: the terminal is left as %v (%v), was %v", name, now, err, want)
		}
	}
	s := openScreen(t, 80, casCommand(t, []string{"CAS_CONFIG=" + t.TempDir() + "/none"}, "login", "nope://host"))
	s.waitFor(`^Token:`)
	if _, err := s.keyboard.Write([]byte("cas_id_secret\r")); err != nil {
		t.Fatal(err)
	}
	if code, text := s.end(); code != exit.Usage || !regexp.MustCompile(`^Token:\ncas: .*nope`).MatchString(text) || strings.Contains(text, "secret") {
		t.Errorf("a typed token: exit code %d, the last screen:\n%s", code, text)
	}
}

// A command whose request has no answer says what it waits for, on standard error, once for
// all requests that wait together.
func TestSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	said := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-said:
		case <-time.After(castest.WaitLimit):
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"blobs":[]}`)
	}))
	defer server.Close()
	cmd := casCommand(t, []string{"CAS_URL=" + server.URL, "CAS_TOKEN=cas_id_secret", "CAS_DATA_DIR=" + t.TempDir(), silenceVariable + "=10ms"}, "ls")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	close(said)
	host := strings.TrimPrefix(server.URL, "http://")
	if want := "cas: waiting for " + host + " to answer GET /v1/blobs\n"; err != nil || line != want {
		t.Errorf("%q, %v; want %q", line, err, want)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// An upload that a full disk refuses with 507 is not repeated.
func TestFullDiskIsNotAskedAgain(t *testing.T) {
	var puts atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"missing":["%s"]}`, cas.DigestOf(make([]byte, 1<<20)))
			return
		}
		puts.Add(1)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusInsufficientStorage)
		fmt.Fprint(w, `{"code":"no_space","detail":"no room","retryable":true}`)
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := runCas(t, t.Context(), server, nil, "put", path); o.code == exit.OK || puts.Load() != 1 || !strings.Contains(o.stderr, "no room") {
		t.Errorf("exit code %d after %d requests: %s", o.code, puts.Load(), o.stderr)
	}
}

// Once the gateway has no room, no further files are tried, and the error says how many of them
// are stored.
func TestFullDiskStopsTheRest(t *testing.T) {
	const all, room = 40, 3
	folder := t.TempDir()
	for i := range all {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%02d.txt", i)), []byte(strconv.Itoa(i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		command []string
		room    int64
		code    int
		says    string
	}{
		{[]string{"put", "-r"}, room, exit.Partly, "stopped with 3 of 40 files stored"},
		{[]string{"file", "put", "-r"}, 2 * room, exit.Partly, "stopped with 3 of 40 files stored"}, // a blob and a name each
		{[]string{"put", "-r"}, 0, exit.Failure, "stopped with 0 of 40 files stored"},
	} {
		dir := t.TempDir()
		p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + dir}, "serve"))
		target, err := url.Parse(p.url)
		if err != nil {
			t.Fatal(err)
		}
		forward := httputil.NewSingleHostReverseProxy(target)
		var sent atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			isUpload := r.Method == http.MethodPut || r.Method == http.MethodPost && !strings.Contains(r.URL.Path, "find-missing")
			if !isUpload || sent.Add(1) <= c.room {
				forward.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusInsufficientStorage)
			fmt.Fprint(w, `{"code":"no_space","detail":"no room","retryable":false}`)
		}))
		o := runCas(t, t.Context(), server, nil, append(slices.Clone(c.command), "--parallel=1", folder)...)
		server.Close()
		if o.code != c.code || sent.Load() != c.room+1 || strings.Count(o.stderr, "no room") != 1 || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%q: exit code %d after %d uploads:\n%s", c.command, o.code, sent.Load(), o.stderr)
		}
		p.kill()
	}
}

// lineWatcher is an output that tells when a text came.
type lineWatcher struct {
	bytes.Buffer
	text string
	came chan struct{}
}

func (w *lineWatcher) Write(p []byte) (int, error) {
	if w.text != "" && strings.Contains(string(p), w.text) {
		close(w.came)
		w.text = "" // once only
	}
	return w.Buffer.Write(p)
}

// An upload that is under way when another one is refused for want of room ends by itself, and
// has its own result. A file that is not tried has no operation.
func TestFullDiskLeavesUploadsUnderWay(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"1-refused", "2-stored", "3-untried"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir()}, "serve"))
	target, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	for _, command := range [][]string{{"put"}, {"file", "put"}} {
		out := &lineWatcher{text: "op_refused", came: make(chan struct{})}
		underWay := make(chan struct{})
		begin := sync.OnceFunc(func() { close(underWay) })
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			switch content := string(body); {
			case strings.Contains(content, "1-refused"):
				<-underWay
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusInsufficientStorage)
				fmt.Fprint(w, `{"code":"no_space","detail":"no room","operation_id":"op_refused","retryable":false}`)
				return
			case strings.Contains(content, "2-stored"):
				begin()
				select {
				case <-out.came: // the command knows of the refusal
				case <-r.Context().Done():
					t.Error("the upload under way was ended")
				}
			case strings.Contains(content, "3-untried"):
				t.Error("another upload began")
			}
			forward.ServeHTTP(w, r)
		}))
		t.Setenv("CAS_TOKEN", "cas_id_secret")
		var stderr bytes.Buffer
		args := append(slices.Clone(command), "-r", "--json", "--parallel=2", folder, "--url="+server.URL, "--data-dir="+t.TempDir())
		code := run(t.Context(), args, terminal.Streams{Out: out, Err: &stderr})
		server.Close()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if code != exit.Partly || !strings.Contains(stderr.String(), "stopped with 1 of 3 files stored") || len(lines) != 3 {
			t.Fatalf("%q: exit code %d: %s%s", command, code, out, stderr.String())
		}
		if !strings.Contains(lines[0], `"code":"no_space"`) || strings.Contains(lines[1], `"error"`) ||
			!strings.HasSuffix(lines[2], `"error":{"message":"left undone: the gateway has no room"}}`) {
			t.Errorf("%q: %s", command, out)
		}
	}
}

// The parser would replace bytes that are not UTF-8, and the file would not be found.
func TestArgumentsAreUTF8(t *testing.T) {
	var said strings.Builder
	code := run(t.Context(), []string{"put", "a\xff.txt"}, terminal.Streams{Out: &said, Err: &said})
	if code != exit.Usage || !strings.Contains(said.String(), `"a\xff.txt" is not valid UTF-8`) {
		t.Errorf("exit code %d: %s", code, said.String())
	}
}

// A sync to simulated providers leaves no line of a copy in progress, however soon it ends.
func TestScreensOfSync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + dir}, "serve", "--simulate-providers"))
	for i := range castest.Thorough(8, 1) {
		names := []string{fmt.Sprintf("a%d.txt", i), fmt.Sprintf("b%d.txt", i)}
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := casCommand(t, []string{"CAS_URL=" + p.url, "CAS_DATA_DIR=" + dir, "CAS_CONFIG=" + dir + "/none", silenceVariable + "=1h"}, append([]string{"sync", "--provider=kimi,glm"}, names...)...)
		cmd.Dir = dir
		code, text := openScreen(t, 120, cmd).end()
		if code != exit.OK || strings.Contains(text, "copying") || strings.Contains(text, "reading") || strings.Contains(text, "sending") || strings.Count(text, "copied ") != 4 {
			t.Errorf("exit code %d, the last screen:\n%s", code, text)
		}
	}
}
