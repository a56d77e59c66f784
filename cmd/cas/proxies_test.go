package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/client"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/simulator"
	"casgate/providers/simulator/kimisim"
)

// slowCopy is longer than the default time-outs of proxies, which are 60 s.
const slowCopy = 70 * time.Second

// sbin is where Debian keeps servers. Users don't look there.
const sbin = "/usr/sbin/"

// proxied is a proxy that can be put before a gateway.
type proxied struct {
	command []string // that runs the proxy in the foreground; the configuration's file is added
	path    string   // of the gateway's URL
	// config returns the configuration of a proxy at an address for the gateway at another.
	config func(t *testing.T, dir, address, gateway string) string
}

// proxies are the configurations that docs/deployment.md recommends, and nginx with its
// defaults where they work too.
var proxies = map[string]proxied{
	"nginx as documented, below a path": {[]string{sbin + "nginx", "-c"}, "/files", func(t *testing.T, dir, address, gateway string) string {
		return nginxConfig(dir, address, documented(t, "nginx", gateway))
	}},
	"nginx with buffers": {[]string{sbin + "nginx", "-c"}, "", func(_ *testing.T, dir, address, gateway string) string {
		return nginxConfig(dir, address, "location / { proxy_pass http://"+gateway+"; client_max_body_size 0; }")
	}},
	"haproxy as documented": {[]string{sbin + "haproxy", "-db", "-f"}, "", func(t *testing.T, _, address, gateway string) string {
		return documented(t, "", gateway) + "\nfrontend all\n    bind " + address + "\n    default_backend casgate\n"
	}},
}

// documented returns the code block of this language from docs/deployment.md, for another
// gateway.
func documented(t *testing.T, language, gateway string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(page), "```") {
		if code, ok := strings.CutPrefix(block, language+"\n"); ok && i%2 == 1 {
			const address = "127.0.0.1:8080"
			if !strings.Contains(code, address) {
				t.Fatalf("the block %q names no gateway at %s", language, address)
			}
			return strings.ReplaceAll(code, address, gateway)
		}
	}
	t.Fatalf("docs/deployment.md has no block %q", language)
	return ""
}

func nginxConfig(dir, address, locations string) string {
	temporary := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("%s_temp_path %s; ", kind, filepath.Join(dir, kind))
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	return fmt.Sprintf("daemon off; %s pid %s; error_log stderr warn;\nevents {}\nhttp { access_log off; %s\nserver { listen %s;\n%s\n} }\n",
		user, filepath.Join(dir, "pid"), temporary, address, locations)
}

// needProxies makes sure that nginx and haproxy are there. Root gets them installed where
// tests may not be skipped.
func needProxies(t *testing.T) {
	t.Helper()
	var missing []string
	for program, pkg := range map[string]string{"nginx": "nginx-light", "haproxy": "haproxy"} {
		if _, err := exec.LookPath(sbin + program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return
	}
	if os.Getenv("CAS_TEST_DISALLOW_SKIP") != "1" {
		t.Skipf("not installed: %v", missing)
	}
	if out, err := exec.Command("../../scripts/debian-install", missing...).CombinedOutput(); err != nil {
		t.Fatalf("CAS_TEST_DISALLOW_SKIP=1 forbids to skip: %v\n%s", err, out)
	}
}

// Uploads, ranges, resumed downloads, URLs and slow copies work through the proxies.
func TestBehindProxies(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("it takes more than a minute; CAS_TEST_THOROUGH=1 runs it")
	}
	t.Parallel()
	needProxies(t)
	// They wait more than they compute, so they don't wait for each other.
	var all sync.WaitGroup
	defer all.Wait()
	for name, p := range proxies {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				gateway, kimi := p.start(t)
				c, err := client.New(gateway, client.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				content := make([]byte, 20<<20)
				_, _ = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", name)))).Read(content) // never fails
				passThrough(t, c, content)
				copySlowly(t, c, kimi)
			})
		})
	}
}

// start starts a gateway and the proxy before it. It returns the proxy's URL.
func (p proxied) start(t *testing.T) (url string, kimi *kimisim.Server) {
	t.Helper()
	kimi, settings := startKimi(t, kimisim.Options{})
	settings = append(settings, leaseVariable+"=2m") // a busy machine must not lose it: the copy would be found in the list
	for range 5 {                                    // another process may take the port in between
		address := freeAddress(t)
		url = "http://" + address + p.path
		gateway := serveProcess(t, casCommand(t, append(settings, "CAS_DATA_DIR="+t.TempDir(), "CAS_PUBLIC_URL="+url), "serve"))
		if p.run(t, address, strings.TrimPrefix(gateway.url, "http://")) {
			return url, kimi
		}
		gateway.kill()
	}
	t.Fatal("the proxy did not start on five ports")
	return "", nil
}

// freeAddress returns an address at which nothing listens, with a port that outgoing
// connections are not given.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000))
		ln, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		return address
	}
}

// run runs the proxy until the test ends. It returns false if the address is taken.
func (p proxied) run(t *testing.T, address, gateway string) bool {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte(p.config(t, dir, address, gateway)), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(p.command[0], append(p.command[1:], config)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	castest.EndWithParent(cmd, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // its log says why it ended
	isUp := func() bool {
		res, err := http.Get("http://" + address + p.path + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	castest.Eventually(t, "the proxy answers, or ends", func() bool {
		select {
		case <-ended:
			return true
		default:
			return isUp()
		}
	})
	select {
	case <-ended:
		if strings.Contains(strings.ToLower(log.String()), "in use") {
			return false
		}
		t.Fatalf("the proxy ended: %s", log.String())
	default:
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
		<-ended
	})
	return true
}

// passThrough stores content in each way, and reads it in each way.
func passThrough(t *testing.T, c *client.Client, content []byte) {
	ctx, d := t.Context(), cas.DigestOf(content)
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	source := client.Source{Digest: d, Size: int64(len(content)), Open: open}
	for i, deduplicated := range []bool{false, true} {
		blob, err := c.Put(ctx, source, client.PutOptions{Name: "large.bin"})
		if err != nil || blob.Deduplicated == nil || *blob.Deduplicated != deduplicated {
			t.Fatalf("upload %d: %+v, %v", i, blob, err)
		}
	}
	if blob, err := c.PutStream(ctx, bytes.NewReader(content), client.PutOptions{}); err != nil || blob.Digest != d {
		t.Errorf("a chunked upload: %+v, %v", blob, err)
	}
	file, err := c.CreateFile(ctx, bytes.NewReader(content), client.NewFile{Name: "large.bin", Purpose: "user_data"})
	if err != nil || file.Digest() != d {
		t.Errorf("a form: %+v, %v", file, err)
	}
	for _, offset := range []int64{0, 12_345_678} { // whole, and resumed
		rest, err := c.Blob(d).Open(ctx, client.OpenOptions{Offset: offset})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rest.Body)
		rest.Body.Close()
		if err != nil || rest.Offset != offset || !bytes.Equal(got, content[offset:]) {
			t.Errorf("from %d: from %d, %d bytes, %v", offset, rest.Offset, len(got), err)
		}
	}
	signed, err := c.Blob(d).SignURL(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got, status := fetch(t, http.MethodGet, signed.URL, nil, "Range", "bytes=5-14"); status != http.StatusPartialContent || !bytes.Equal(got, content[5:15]) {
		t.Errorf("a range of a signed URL: %d, %d bytes", status, len(got))
	}
	upload, err := c.UploadURL(ctx, client.UploadURLOptions{Filename: "by-url.bin"})
	if err != nil {
		t.Fatal(err)
	}
	if got, status := fetch(t, http.MethodPut, upload.URL, bytes.NewReader(content)); status != http.StatusOK {
		t.Errorf("an upload URL: %d %s", status, got)
	}
}

// fetch makes a request, and returns the answer's body and status.
func fetch(t *testing.T, method, url string, body io.Reader, headers ...string) ([]byte, int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
	}
	return got, res.StatusCode
}

// copySlowly makes a copy that takes longer than the time-outs of proxies. A request that
// only waits gets 202 before the proxy gives up, and `cas sync` ends with the copy.
func copySlowly(t *testing.T, c *client.Client, kimi *kimisim.Server) {
	blob, err := c.PutStream(t.Context(), strings.NewReader("a document"), client.PutOptions{Name: "a.txt"})
	if err != nil {
		t.Fatal(err)
	}
	until := make(chan struct{})
	kimi.Fail(simulator.Fault{Op: providers.OpUpload, Kind: simulator.Stall, Applied: true, Until: until})
	time.AfterFunc(slowCopy, func() { close(until) })
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), castest.WaitLimit)
	defer cancel()
	sync := casCommand(t, []string{"CAS_URL=" + c.BaseURL()}, "sync", "-q", "--json", blob.Digest.String(), "--to", "kimi")
	var out, errs bytes.Buffer
	sync.Stdout, sync.Stderr = &out, &errs
	if err := sync.Start(); err != nil {
		t.Fatal(err)
	}
	killed := context.AfterFunc(ctx, func() { _ = sync.Process.Kill() }) // the wait tells of it
	defer killed()
	// The gateway's default wait, since this request names none.
	answer, status := fetch(t, http.MethodPut, c.BaseURL()+"/v1/blobs/"+blob.Digest.String()+"/copies/kimi", nil)
	if status != http.StatusAccepted {
		t.Errorf("a request that waits: %d %s", status, answer)
	}
	if err := sync.Wait(); err != nil || !strings.Contains(out.String(), `"state":"`+string(ledger.StateReady)+`"`) {
		t.Errorf("cas sync: %v\n%s%s", err, out.String(), errs.String())
	}
	if took := time.Since(begun); took < slowCopy {
		t.Errorf("the copy took %v; the test shows nothing", took)
	}
	made, err := c.Blob(blob.Digest).Copy(t.Context(), "kimi", client.CopyOptions{})
	if err != nil || made.State != string(ledger.StateReady) {
		t.Errorf("%+v, %v", made, err)
	}
}
