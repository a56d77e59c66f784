package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/scrubber"
	"casgate/providers/simulator/openaisim"
)

// openAIKey is the key of the simulated account.
const openAIKey = "sk-test-openai-0123456789"

// startOpenAI starts a provider that returns uploaded files unchanged.
func startOpenAI(t *testing.T) []string {
	t.Helper()
	sim := openaisim.New(openaisim.Options{Key: openAIKey})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return []string{"CAS_OPENAI_API_KEY=" + openAIKey, "CAS_OPENAI_BASE_URL=" + server.URL + openaisim.Prefix}
}

// copyToOpenAI waits until a blob has a copy. A gateway on a busy machine may answer before
// that.
func (p *process) copyToOpenAI(d cas.Digest) {
	p.t.Helper()
	castest.Eventually(p.t, "the copy", func() bool {
		status, body, err := p.request("PUT", "/v1/blobs/"+d.String()+"/copies/openai", nil)
		if err != nil || status/100 != 2 {
			p.t.Fatalf("copy: %d %s, %v", status, body, err)
		}
		return status == http.StatusOK || status == http.StatusCreated
	})
}

// scrubCommand runs a command of a set-up, and returns what it printed and its exit code; -1 if it was
// killed.
func scrubCommand(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	cmd := casCommand(t, env, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// A scrub is killed at each step of checking a damaged blob. The next one completes it:
// the blob has the right bytes again, from the provider that has a copy.
func TestScrubOutlivesACrashAtEachStep(t *testing.T) {
	for name, env := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := startOpenAI(t)
			kept := append(append(env(t), account...), leaseVariable+"=1s") // a busy machine must renew it in time
			objects := objectsOf(t, kept)
			p := serveProcess(t, casCommand(t, append(kept, "CAS_VERIFIED_FOR=0", "CAS_HOT_BYTES=0"), "serve"))
			stays := castest.RandomBytes(500)
			p.store(stays)
			for _, step := range castest.Steps(scrubber.StepClaimed, scrubber.StepRead, scrubber.StepMarked, scrubber.StepRestored) {
				content := fmt.Appendf(nil, "%s %x", step, castest.RandomBytes(500))
				d := p.store(content)
				p.copyToOpenAI(d)
				if err := objects.Delete(t.Context(), cas.ObjectRef{Digest: d}); err != nil {
					t.Fatal(err)
				}
				if out, code := scrubCommand(t, append(kept, killAtVariable+"="+string(step)), "scrub", "--repair"); code != -1 {
					t.Fatalf("cas scrub was not killed at %s: exit code %d\n%s", step, code, out)
				}
				castest.Eventually(t, "the end of the scrub", func() bool {
					out, code := scrubCommand(t, kept, "scrub", "--repair", "--resume")
					if code != 0 && code != 9 {
						t.Fatalf("after a crash at %s: exit code %d\n%s", step, code, out)
					}
					return code == 0
				})
				checkBlob(t, p, d, len(content), true)
				checkBlob(t, p, cas.DigestOf(stays), len(stays), true)
			}
		})
	}
}

// Gateways scrub in the background: damage is found and repaired from the provider's copy
// without a request, or stays suspect until an upload brings the bytes.
func TestGatewaysScrubInTheBackground(t *testing.T) {
	for name, env := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := startOpenAI(t)
			kept := append(append(env(t), account...), "CAS_VERIFIED_FOR=0", "CAS_HOT_BYTES=0")
			objects := objectsOf(t, kept)
			p := serveProcess(t, casCommand(t, kept, "serve"))
			copied, lost := []byte("a text with a copy"), castest.RandomBytes(400<<10)
			withCopy, withoutCopy := p.store(copied), p.store(lost)
			p.store(castest.RandomBytes(1000))
			p.copyToOpenAI(withCopy)
			p.kill()
			for _, d := range []cas.Digest{withCopy, withoutCopy} {
				if err := objects.Delete(t.Context(), cas.ObjectRef{Digest: d}); err != nil {
					t.Fatal(err)
				}
			}
			p = serveProcess(t, casCommand(t, append(kept, "CAS_SCRUB_EVERY=1us"), "serve"))
			castest.Eventually(t, "the repair", func() bool { return hasObject(t, objects, cas.ObjectRef{Digest: withCopy}) })
			checkBlob(t, p, withCopy, len(copied), true)
			castest.Eventually(t, "the record of the other blob", func() bool {
				_, body, err := p.request("GET", "/v1/operations?kind=scrub&digest="+withoutCopy.String(), nil)
				return err == nil && strings.Contains(string(body), `"error_code":"object_missing"`)
			})
			if status, _, err := p.request("GET", "/v1/blobs/"+withoutCopy.String(), nil); err != nil || status != 502 {
				t.Errorf("the lost blob is answered %d, %v", status, err)
			}
			p.store(lost)
			checkBlob(t, p, withoutCopy, len(lost), true)
		})
	}
}

// A scrub by command finds damage beside an embedded gateway, which has just read the blob
// and keeps its row. The gateway notices soon, not when the row's time is over.
func TestEmbeddedGatewayNoticesAScrub(t *testing.T) {
	t.Parallel()
	env := append(embeddedEnv(t), "CAS_HOT_BYTES=0")
	p := serveProcess(t, casCommand(t, env, "serve"))
	b := castest.RandomBytes(1000)
	d := p.store(b)
	checkBlob(t, p, d, len(b), true)
	if err := objectsOf(t, env).Delete(t.Context(), cas.ObjectRef{Digest: d}); err != nil {
		t.Fatal(err)
	}
	if out, code := scrubCommand(t, env, "scrub"); code != 5 {
		t.Fatalf("cas scrub exits with %d\n%s", code, out)
	}
	castest.Eventually(t, "the suspect row", func() bool {
		status, _, err := p.request("HEAD", "/v1/blobs/"+d.String(), nil)
		if err != nil || status != 200 && status != 502 {
			t.Fatalf("the blob is answered %d, %v", status, err)
		}
		return status == 502
	})
}
