package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

var (
	wanted       = bytes.Repeat([]byte("what is wanted, "), 1<<16)
	wantedDigest = cas.DigestOf(wanted)
)

// serveWanted serves the wanted blob, and content in its place where that is not
// nil.
func serveWanted(w http.ResponseWriter, r *http.Request, content []byte) {
	if content == nil {
		content = wanted
	}
	w.Header().Set("ETag", `"`+wantedDigest.String()+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// sendHalf announces the whole blob, and sends half of it.
func sendHalf(w http.ResponseWriter) {
	w.Header().Set("ETag", `"`+wantedDigest.String()+`"`)
	w.Header().Set("Content-Length", "1048576")
	_, _ = w.Write(wanted[:len(wanted)/2])
	_ = http.NewResponseController(w).Flush()
}

// outcome is what came of a run of cas.
type outcome struct {
	code           int
	stdout, stderr string
}

// runCas runs cas in this process, against a server.
func runCas(t *testing.T, ctx context.Context, server *httptest.Server, stdin io.Reader, args ...string) outcome {
	t.Helper()
	t.Setenv("CAS_TOKEN", "cas_id_secret")
	var stdout, stderr bytes.Buffer
	args = append(args, "--url="+server.URL, "--data-dir="+t.TempDir())
	code := run(ctx, args, terminal.Streams{In: stdin, Out: &stdout, Err: &stderr})
	return outcome{code, stdout.String(), stderr.String()}
}

// getWanted runs `cas get -o FOLDER/out`, and returns where the files are.
func getWanted(t *testing.T, ctx context.Context, handler http.HandlerFunc, folder string) outcome {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	return runCas(t, ctx, server, nil, "get", wantedDigest.String(), "-o", filepath.Join(folder, "out"))
}

func partialOf(folder string) string {
	return filepath.Join(folder, "out."+wantedDigest.Short()+".partial")
}

// checkFiles checks what a folder holds: a file's name, and its content.
func checkFiles(t *testing.T, folder string, want map[string][]byte) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		expected, ok := want[entry.Name()]
		if err != nil || !ok || !bytes.Equal(content, expected) {
			t.Errorf("%s has %d bytes (%v), want %d", entry.Name(), len(content), err, len(expected))
		}
		delete(want, entry.Name())
	}
	for name := range want {
		t.Errorf("%s is not there", name)
	}
}

// interruptible returns a context as main makes it, and the signal that ends it.
func interruptible(t *testing.T) (ctx context.Context, interrupt func()) {
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	t.Cleanup(stop)
	return ctx, func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}
}

func TestInterruptedGetIsGoneOnWith(t *testing.T) {
	folder := t.TempDir()
	ctx, interrupt := interruptible(t)
	o := getWanted(t, ctx, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			serveWanted(w, r, nil)
			return
		}
		sendHalf(w)
		waitForSize(t, partialOf(folder), int64(len(wanted)/2))
		interrupt()
		<-r.Context().Done()
	}, folder)
	if o.code != exit.Interrupted || !strings.Contains(o.stderr, "512 KiB of 1.0 MiB are in "+partialOf(folder)+", and the same command resumes from there") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	checkFiles(t, folder, map[string][]byte{filepath.Base(partialOf(folder)): wanted[:len(wanted)/2]})

	var asked []string
	o = getWanted(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Header.Get("Range"))
		serveWanted(w, r, nil)
	}, folder)
	if o.code != exit.OK || len(asked) != 2 || asked[1] != "GET bytes=524288-" {
		t.Errorf("exit code %d after %q: %s", o.code, asked, o.stderr)
	}
	checkFiles(t, folder, map[string][]byte{"out": wanted})
}

// waitForSize waits until a file has grown to this size.
func waitForSize(t *testing.T, path string, size int64) {
	deadline := time.After(castest.WaitLimit)
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		if info, err := os.Stat(path); err == nil && info.Size() == size {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Errorf("%s never had %d bytes", path, size)
			return
		}
	}
}

func TestGetGoesOnWhereTheConnectionBroke(t *testing.T) {
	folder := t.TempDir()
	var gets atomic.Int64
	o := getWanted(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/meta"):
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(api.BlobMeta{State: cas.StateLive})
		case r.Method == http.MethodGet && gets.Add(1) == 1:
			sendHalf(w)
			panic(http.ErrAbortHandler)
		default:
			serveWanted(w, r, nil)
		}
	}, folder)
	if o.code != exit.OK || gets.Load() != 2 || !strings.Contains(o.stderr, "resuming") {
		t.Errorf("exit code %d after %d requests: %s", o.code, gets.Load(), o.stderr)
	}
	checkFiles(t, folder, map[string][]byte{"out": wanted})
}

// On standard output, too: what is written already stays, and the rest follows.
func TestGetToStandardOutputGoesOnWhereTheConnectionBroke(t *testing.T) {
	wrong := bytes.Clone(wanted)
	wrong[len(wrong)-1] ^= 1
	for name, tt := range map[string]struct {
		rest   []byte // nil: none comes
		code   int
		size   int
		stderr string
	}{
		"the rest":     {wanted, exit.OK, len(wanted), "resuming"},
		"a wrong rest": {wrong, exit.Corrupt, len(wanted) - 1, "digest mismatch"},
		"no rest":      {nil, exit.Unavailable, len(wanted) / 2, "; only 512 KiB of 1.0 MiB were written"},
	} {
		t.Run(name, func(t *testing.T) {
			var ranges []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/meta"):
					answer(t, w, 200, api.BlobMeta{State: cas.StateLive})
					return
				case r.Header.Get("Range") == "":
					sendHalf(w)
				case tt.rest != nil:
					ranges = append(ranges, r.Header.Get("Range"))
					serveWanted(w, r, tt.rest)
					return
				}
				panic(http.ErrAbortHandler)
			}))
			defer server.Close()
			o := runCas(t, t.Context(), server, nil, "get", wantedDigest.String(), "-o", "-")
			if o.code != tt.code || len(o.stdout) > tt.size || !strings.Contains(o.stderr, tt.stderr) {
				t.Errorf("exit code %d, %d bytes: %s", o.code, len(o.stdout), o.stderr)
			}
			if tt.code == exit.OK && (o.stdout != string(wanted) || len(ranges) != 1 || ranges[0] != fmt.Sprintf("bytes=%d-", len(wanted)/2)) {
				t.Errorf("%d bytes after the ranges %q", len(o.stdout), ranges)
			}
		})
	}
}

func TestGetGivesUpWhereNothingMoreComes(t *testing.T) {
	folder := t.TempDir()
	o := getWanted(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			serveWanted(w, r, nil)
		case strings.HasSuffix(r.URL.Path, "/meta"), r.Header.Get("Range") != "":
			http.Error(w, "no", http.StatusNotImplemented)
		default:
			sendHalf(w)
			panic(http.ErrAbortHandler)
		}
	}, folder)
	if o.code != exit.Failure || !strings.Contains(o.stderr, "501") || !strings.Contains(o.stderr, "the same command resumes") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	checkFiles(t, folder, map[string][]byte{filepath.Base(partialOf(folder)): wanted[:len(wanted)/2]})
}

// A file gets any name that a folder takes, and a longer one is refused before its bytes come.
func TestGetOfALongName(t *testing.T) {
	for name, code := range map[string]int{
		strings.Repeat("x", 235): exit.OK, strings.Repeat("x", 255): exit.OK,
		strings.Repeat("é", 127): exit.OK, "x" + strings.Repeat("é", 127): exit.OK,
		strings.Repeat("é", 255): exit.Usage,
	} {
		folder := t.TempDir()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
			if r.Method == http.MethodGet && code != exit.OK {
				t.Errorf("%d bytes: the content was asked for", len(name))
			}
			serveWanted(w, r, nil)
		}))
		defer server.Close()
		o := runCas(t, t.Context(), server, nil, "get", wantedDigest.String(), "-o", folder)
		want := map[string][]byte{}
		if code == exit.OK {
			want[name] = wanted
		} else if !strings.Contains(o.stderr, "a name of 510 bytes, which is too long") {
			t.Error(o.stderr)
		}
		if o.code != code {
			t.Errorf("%d bytes: exit code %d: %s", len(name), o.code, o.stderr)
		}
		checkFiles(t, folder, want)

		whole := transfer.WholeFile{Path: filepath.Join(folder, name), Replace: true}
		if err := whole.Write(func(w io.Writer) error { _, err := w.Write(wanted); return err }); (err == nil) != (code == exit.OK) {
			t.Errorf("%d bytes, written as a whole: %v", len(name), err)
		}
	}
}

func TestGetOfTheWholeInsteadOfTheRest(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(partialOf(folder), wanted[:1000], 0o666); err != nil {
		t.Fatal(err)
	}
	o := getWanted(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		serveWanted(w, r, nil)
	}, folder)
	if o.code != exit.OK {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	checkFiles(t, folder, map[string][]byte{"out": wanted})
}

func TestWrongBytesBecomeNoFile(t *testing.T) {
	wrong := bytes.Clone(wanted)
	wrong[12345] ^= 1
	for name, partial := range map[string][]byte{
		"fresh":            nil,
		"after a right":    wanted[:1000],
		"after a wrong":    wrong[:20000],
		"after one as big": wrong,
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if partial != nil {
				if err := os.WriteFile(partialOf(folder), partial, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			var gets atomic.Int64
			o := getWanted(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					gets.Add(1)
				}
				serveWanted(w, r, wrong)
			}, folder)
			if o.code != exit.Corrupt || gets.Load() > 2 || !strings.Contains(o.stderr, "digest mismatch") {
				t.Errorf("exit code %d after %d requests: %s", o.code, gets.Load(), o.stderr)
			}
			checkFiles(t, folder, map[string][]byte{})
		})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveWanted(w, r, wrong) }))
	defer server.Close()
	o := runCas(t, t.Context(), server, nil, "get", wantedDigest.String())
	if o.code != exit.Corrupt || len(o.stdout) >= len(wanted) {
		t.Errorf("to standard output: exit code %d after %d bytes", o.code, len(o.stdout))
	}
}

func TestGetNeverReplacesWhatCameUpMeanwhile(t *testing.T) {
	folder := t.TempDir()
	theirs := []byte("somebody else's")
	o := getWanted(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			if err := os.WriteFile(filepath.Join(folder, "out"), theirs, 0o666); err != nil {
				t.Error(err)
			}
		}
		serveWanted(w, r, nil)
	}, folder)
	if o.code != exit.Failure || !strings.Contains(o.stderr, "exists already") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	checkFiles(t, folder, map[string][]byte{"out": theirs, filepath.Base(partialOf(folder)): wanted})
}

// /dev/stdout is a link to an open file, which may be a regular one. A file must not take its place.
func TestNoFileReplacesStandardOutput(t *testing.T) {
	t.Parallel()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	link := filepath.Join(t.TempDir(), "stdout")
	if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", out.Fd()), link); err != nil {
		t.Fatal(err)
	}
	err = transfer.WholeFile{Path: link, Replace: true}.Write(func(w io.Writer) error { return nil })
	if info, statErr := os.Lstat(link); err == nil || statErr != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("%v; then it is %v, %v", err, info, statErr)
	}
}

func TestTwoGetsOfOneFile(t *testing.T) {
	folder := t.TempDir()
	other := flock.New(partialOf(folder))
	if locked, err := other.TryLock(); !locked || err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	o := getWanted(t, t.Context(), func(w http.ResponseWriter, r *http.Request) { serveWanted(w, r, nil) }, folder)
	if o.code != exit.Failure || !strings.Contains(o.stderr, "another cas get") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	checkFiles(t, folder, map[string][]byte{filepath.Base(partialOf(folder)): nil})
}

func TestNamesFromTheGatewayLeadNowhereElse(t *testing.T) {
	for _, name := range []string{"../out", "..", ".", "/etc/out", `a\\b`, "a/b"} {
		folder := t.TempDir()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
			serveWanted(w, r, nil)
		}))
		o := runCas(t, t.Context(), server, nil, "get", wantedDigest.String(), "-o", folder)
		server.Close()
		if o.code != exit.Usage || !strings.Contains(o.stderr, "has no name to save it under") {
			t.Errorf("%q: exit code %d: %s", name, o.code, o.stderr)
		}
		checkFiles(t, folder, map[string][]byte{})
	}
}

// A file that changes between its hashing and its sending is the server's to
// notice; what's tested here is that the client says what happened.
func TestPutOfFileThatChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("first"), 0o666); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if err := os.WriteFile(path, []byte("other"), 0o666); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(api.Missing{Missing: []cas.Digest{cas.DigestOf([]byte("first"))}})
			return
		}
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "other" {
			t.Errorf("body %q, %v", body, err)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(422)
		_ = json.NewEncoder(w).Encode(problem.Details{Code: problem.DigestMismatch, Detail: "other bytes"})
	}))
	defer server.Close()
	o := runCas(t, t.Context(), server, nil, "put", path)
	if o.code != exit.Corrupt || o.stdout != "" || !strings.Contains(o.stderr, "cas: "+path+": the content changed while it was read") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
}

func TestInterruptedPutOfAStream(t *testing.T) {
	ctx, interrupt := interruptible(t)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadFull(r.Body, make([]byte, 5)); err != nil {
			t.Error(err)
		}
		interrupt()
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	stdin, feed := io.Pipe() // never ends by itself
	defer feed.Close()
	go feed.Write([]byte("begun"))
	o := runCas(t, ctx, server, stdin, "put", "-")
	if o.code != exit.Interrupted || o.stdout != "" {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
}

// A dry run tells the digest of standard input, and of a pipe, though it can be read only once.
func TestDryPutOfAStream(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/blobs/find-missing" {
			t.Errorf("the dry run asks for %s", r.URL)
		}
		var asked struct{ Digests []cas.Digest }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.Missing{Missing: asked.Digests})
	}))
	defer server.Close()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := os.WriteFile(pipe, wanted, 0); err != nil {
			t.Error(err)
		}
	}()
	for _, path := range []string{"-", pipe} {
		o := runCas(t, t.Context(), server, bytes.NewReader(wanted), "put", "--dry-run", "--json", path)
		want := fmt.Sprintf(`{"path":%q,"digest":%q,"size":%d,"would_send":true}`+"\n", path, wantedDigest, len(wanted))
		if o.code != exit.OK || o.stdout != want || !strings.Contains(o.stderr, "would be sent    1.0 MiB  "+path) {
			t.Errorf("%s: exit code %d: %s%s", path, o.code, o.stdout, o.stderr)
		}
	}
}

// A signal ends a dry run that waits for standard input.
func TestInterruptedDryPutOfAStream(t *testing.T) {
	ctx, interrupt := interruptible(t)
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	stdin, feed := io.Pipe() // never ends by itself
	defer feed.Close()
	go func() {
		_, _ = feed.Write([]byte("begun"))
		interrupt()
	}()
	o := runCas(t, ctx, server, stdin, "put", "--dry-run", "-")
	if o.code != exit.Interrupted || o.stdout != "" || !strings.Contains(o.stderr, "cas: interrupted\n") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
}

// A signal ends each command that waits for standard input.
func TestInterruptedWhileReadingStandardInput(t *testing.T) {
	t.Setenv("CAS_TOKEN", "")
	t.Setenv("CAS_SOURCE_DIR", t.TempDir())
	for _, args := range [][]string{
		{"login", "http://127.0.0.1:9"},
		{"ask", "--model=kimi/x", "--url=http://127.0.0.1:9", "-"},
		{"import", "--from-jsonl=-"},
		{"import", "--from-csv=-"},
	} {
		ctx, interrupt := interruptible(t)
		stdin, feed := io.Pipe() // never ends by itself
		go func() {
			_, _ = feed.Write([]byte("begun"))
			interrupt()
		}()
		if args[0] != "login" {
			args = append(args, "--data-dir="+t.TempDir())
		}
		var stdout, stderr bytes.Buffer
		code := run(ctx, args, terminal.Streams{In: stdin, Out: &stdout, Err: &stderr})
		feed.Close()
		if code != exit.Interrupted || !strings.Contains(stderr.String(), "cas: interrupted") {
			t.Errorf("%q: exit code %d: %s", args, code, stderr.String())
		}
	}
}
