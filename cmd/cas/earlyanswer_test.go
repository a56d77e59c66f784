package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
)

// curl gets the answer to an upload that is refused before it was read, by each version of HTTP.
func TestCurlGetsAnEarlyAnswer(t *testing.T) {
	t.Parallel()
	needProgram(t, "curl")
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, castest.RandomBytes(10_000_000), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serveProcess(t, casCommand(t, embeddedEnv(t), "serve"))
	for _, version := range []string{"--http1.1", "--http2-prior-knowledge"} {
		for range 10 {
			curl := exec.CommandContext(t.Context(), "curl", "-sS", version, "-o", os.DevNull, "-w", "%{http_code}", "--data-binary", "@"+body, p.url+"/v1/blobs/"+cas.DigestOf(nil).String())
			if out, err := curl.CombinedOutput(); err != nil || string(out) != "405" {
				t.Errorf("%s: %s, %v", version, out, err)
			}
		}
	}
}
