package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
	"casgate/index/pgindex/pgtest"
)

// process is a gateway in a process of its own, the test binary run as cas.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	mu   sync.Mutex
	logs []string
	read chan struct{} // closed when the log has ended

	serving chan string // gets the URL once it serves
}

// casCommand runs cas with the environment given and nothing else of CAS_.
func casCommand(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// TestMain takes a process of this name for the command, not for a test.
	cmd := &exec.Cmd{Path: self, Args: append([]string{"cas"}, args...)}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "CAS_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, "CAS_LISTEN=127.0.0.1:0", "CAS_ADMIN_LISTEN=", "CAS_AUTH=none", "CAS_LOG_FORMAT=json")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// serveProcess starts cmd, which must be a `cas serve`, and waits until it serves.
func serveProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := startProcess(t, cmd)
	select {
	case p.url = <-p.serving:
	case <-p.read:
		_ = cmd.Wait() // the log says more than the exit code
		t.Fatalf("the gateway ended before it served:\n%s", p.log())
	case <-time.After(castest.WaitLimit):
		t.Fatalf("the gateway does not serve:\n%s", p.log())
	}
	return p
}

// startProcess starts cmd, and kills it at the end of the test.
func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, read: make(chan struct{}), serving: make(chan string, 1)}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.read)
		scanner := bufio.NewScanner(stderr)
		for scanner.Scan() {
			p.mu.Lock()
			p.logs = append(p.logs, scanner.Text())
			p.mu.Unlock()
			var line struct{ Message, Listen string }
			if json.Unmarshal(scanner.Bytes(), &line) == nil && line.Message == "serving" {
				p.serving <- "http://" + line.Listen
			}
		}
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.logs, "\n")
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.read
	_ = p.cmd.Wait() // it was killed, so there is an error
}

// request returns the status and the body; an answer that breaks off is an error.
func (p *process) request(method, path string, body io.Reader) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), castest.WaitLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, body)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// setUps returns the settings of the ways to run the gateway. Between two edits the embedded
// one does.
func setUps() map[string]func(*testing.T) []string {
	all := map[string]func(*testing.T) []string{"embedded": embeddedEnv}
	if castest.Thorough(1, 0) == 1 {
		all["served"] = servedEnv
	}
	return all
}

// embeddedEnv and servedEnv are the settings of the two ways to run the gateway,
// with storage that outlives each process of the test.
func embeddedEnv(t *testing.T) []string {
	return []string{"CAS_DATA_DIR=" + t.TempDir()}
}

func servedEnv(t *testing.T) []string {
	bucket := s3test.NewBucket(t)
	return []string{
		"CAS_DATA_DIR=" + t.TempDir(),
		"CAS_DATABASE_URL=" + pgtest.New(t),
		"CAS_S3_ENDPOINT=" + bucket.Endpoint,
		"CAS_S3_BUCKET=" + bucket.Bucket,
		"CAS_S3_ACCESS_KEY=" + bucket.AccessKey,
		"CAS_S3_SECRET_KEY=" + bucket.SecretKey,
	}
}
