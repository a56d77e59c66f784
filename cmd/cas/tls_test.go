package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"casgate/cas/castest"
	"casgate/cmd/cas/internal/exit"
)

// writeCertificate makes a certificate that is valid for a month, and writes it with its key.
// It returns a pool that trusts it.
func writeCertificate(t *testing.T, certPath, keyPath, name string) *x509.CertPool {
	t.Helper()
	return writeCertificateFor(t, certPath, keyPath, name, -time.Hour, 30*24*time.Hour)
}

// writeCertificateFor is writeCertificate for a certificate that is valid from a time to
// another, both from now.
func writeCertificateFor(t *testing.T, certPath, keyPath, name string, from, to time.Duration) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{"gateway.test"},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, content := range map[string][]byte{certPath: certificate, keyPath: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if path == "" {
			continue
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return pool
}

// servedName makes a new connection and returns the subject of the certificate, and the
// protocol of the answer. All errors but those of the pool's trust fail the test.
func servedName(t *testing.T, url string, pool *x509.CertPool) (name, protocol string, err error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "gateway.test"}, DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}}
	resp, err := client.Get(url + "/healthz")
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	return resp.TLS.PeerCertificates[0].Subject.CommonName, resp.Proto, nil
}

// A gateway with a certificate speaks HTTPS only, HTTP/2 where the client can, and takes up
// a renewed certificate without a restart. A half-written renewal changes nothing.
func TestServeWithTLS(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certPath, keyPath := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	first := writeCertificate(t, certPath, keyPath, "first")
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_TLS_CERT_FILE=" + certPath, "CAS_TLS_KEY_FILE=" + keyPath}, "serve"))
	secure := strings.Replace(p.url, "http:", "https:", 1)
	if !strings.Contains(p.log(), `"url":"`+secure+`"`) {
		t.Errorf("the log does not say that the URL is %s: %s", secure, p.log())
	}
	if name, protocol, err := servedName(t, secure, first); name != "first" || protocol != "HTTP/2.0" || err != nil {
		t.Errorf("served %q by %s: %v", name, protocol, err)
	}
	resp, err := http.Get(p.url + "/healthz")
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %v, %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}

	writeCertificate(t, certPath, "", "half")
	castest.Eventually(t, "a warning about the half-written pair", func() bool {
		if name, _, err := servedName(t, secure, first); name != "first" || err != nil {
			t.Fatalf("with a half-written pair: served %q: %v", name, err)
		}
		return strings.Contains(p.log(), "the new TLS certificate can't be used")
	})
	second := writeCertificate(t, certPath, keyPath, "second")
	castest.Eventually(t, "the new certificate is served", func() bool {
		name, _, err := servedName(t, secure, second)
		return err == nil && name == "second"
	})
	if log := p.log(); strings.Contains(log, "or will soon") {
		t.Errorf("a warning about a valid certificate: %s", log)
	}
	writeCertificateFor(t, certPath, keyPath, "third", -time.Hour, time.Hour)
	castest.Eventually(t, "a warning about the new certificate", func() bool {
		_, _, _ = servedName(t, secure, second) // the third is not trusted; the look at the files counts
		return strings.Contains(p.log(), "expires soon")
	})
}

// With the gateway's settings and no URL, as in its container, the health check asks where the
// gateway listens.
func TestHealthcheckFollowsTheGatewaysSettings(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certPath, keyPath := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writeCertificate(t, certPath, keyPath, "first")
	https := []string{"CAS_TLS_CERT_FILE=" + certPath, "CAS_TLS_KEY_FILE=" + keyPath}
	for name, env := range map[string][]string{
		"HTTP":             nil,
		"all addresses":    {"CAS_LISTEN=:0", "CAS_AUTH=tokens"},
		"HTTPS":            https,
		"a socket":         {"CAS_LISTEN=unix:" + socketPath(t)},
		"HTTPS, at socket": append([]string{"CAS_LISTEN=unix:" + socketPath(t)}, https...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append([]string{"CAS_DATA_DIR=" + t.TempDir(), "HOME=" + folder, "XDG_CONFIG_HOME=" + folder}, env...)
			p := serveProcess(t, casCommand(t, env, "serve"))
			out, err := casCommand(t, env, "healthcheck", "--json").CombinedOutput()
			if at := strings.TrimPrefix(env[len(env)-1], "CAS_LISTEN="); err != nil || strings.HasPrefix(at, "unix:") && !strings.Contains(string(out), at) {
				t.Errorf("%v: %s", err, out)
			}
			other, remedy := "", "speaks HTTPS; set CAS_TLS_CERT_FILE"
			if !strings.HasPrefix(name, "HTTPS") {
				other, remedy = certPath, "speaks plain HTTP; leave CAS_TLS_CERT_FILE"
			}
			listen := slices.Concat(env, []string{"CAS_TLS_CERT_FILE=" + other})
			if name != "a socket" && name != "HTTPS, at socket" {
				listen = append(listen, "CAS_LISTEN="+strings.TrimPrefix(strings.TrimPrefix(p.url, "http://"), "https://"))
			}
			if out, err := casCommand(t, listen, "healthcheck").CombinedOutput(); err == nil || !strings.Contains(string(out), remedy) {
				t.Errorf("with the wrong scheme: %v: %s", err, out)
			}
			p.kill()
			check := casCommand(t, env, "healthcheck")
			if out, _ := check.CombinedOutput(); check.ProcessState.ExitCode() != exit.Unavailable {
				t.Errorf("after the gateway's end: exit code %d: %s", check.ProcessState.ExitCode(), out)
			}
		})
	}
}

// A gateway and the doctor report a certificate that clients refuse, or will soon.
func TestCertificateOutOfDate(t *testing.T) {
	folder := t.TempDir()
	certPath, keyPath := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	const day = 24 * time.Hour
	for _, c := range []struct {
		name     string
		from, to time.Duration
		code     int
		doctor   string
		serve    string // "": no warning
	}{
		{"expired", -2 * day, -day, exit.Failure, "FAIL  certificate", "has expired: it was valid until"},
		{"not yet valid", day, 30 * day, exit.OK, "warn  certificate", "is not valid before"},
		{"expires soon", -day, 13 * day, exit.OK, "warn  certificate", "expires soon: it is valid until"},
		{"valid", -day, 15 * day, exit.OK, "ok    certificate", ""},
	} {
		writeCertificateFor(t, certPath, keyPath, c.name, c.from, c.to)
		if code, said := doctorSays(t, t.TempDir(), "--tls-cert-file="+certPath, "--tls-key-file="+keyPath); code != c.code || !strings.Contains(said, c.doctor) || !strings.Contains(said, c.serve) {
			t.Errorf("%s: exit code %d:\n%s", c.name, code, said)
		}
		p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_TLS_CERT_FILE=" + certPath, "CAS_TLS_KEY_FILE=" + keyPath}, "serve"))
		if log := p.log(); strings.Contains(log, "or will soon") != (c.serve != "") || !strings.Contains(log, c.serve) {
			t.Errorf("%s: the log: %s", c.name, log)
		}
		p.kill()
	}
}

// Wrong files of a certificate are an error at the start that names the settings.
func TestServeWithBadTLS(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certPath, keyPath := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writeCertificate(t, certPath, keyPath, "first")
	writeCertificate(t, filepath.Join(folder, "other.crt"), "", "other")
	for _, c := range []struct{ name, cert, key, says string }{
		{"no key", certPath, "", "CAS_TLS_CERT_FILE and CAS_TLS_KEY_FILE need each other"},
		{"no certificate", "", keyPath, "CAS_TLS_CERT_FILE and CAS_TLS_KEY_FILE need each other"},
		{"a file that isn't there", certPath, filepath.Join(folder, "gone.key"), "gone.key: no such file"},
		{"the key of another", filepath.Join(folder, "other.crt"), keyPath, "CAS_TLS_KEY_FILE: tls: private key does not match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_TLS_CERT_FILE=" + c.cert, "CAS_TLS_KEY_FILE=" + c.key}, "serve")
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), c.says) {
				t.Errorf("%v: %s; want %q", err, out, c.says)
			}
		})
	}
}

// After a signal to stop, the gateway says that it isn't ready, and answers requests as
// before.
func TestDrain(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DRAIN_DELAY=1h"}, "serve"))
	if status, _, err := p.request(http.MethodGet, "/readyz", nil); status != http.StatusOK || err != nil {
		t.Errorf("GET /readyz before the signal: %d, %v", status, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	castest.Eventually(t, "the gateway is not ready", func() bool {
		status, body, err := p.request(http.MethodGet, "/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		return status == http.StatusServiceUnavailable && strings.Contains(string(body), `"draining"`)
	})
	if status, body, err := p.request(http.MethodPost, "/v1/blobs", strings.NewReader("in time")); status != http.StatusCreated || err != nil {
		t.Errorf("an upload while draining: %d, %s, %v", status, body, err)
	}
	check := casCommand(t, []string{"CAS_URL=" + p.url}, "healthcheck")
	if out, _ := check.CombinedOutput(); check.ProcessState.ExitCode() != exit.Unavailable || !strings.Contains(string(out), "it is draining") {
		t.Errorf("cas healthcheck while draining: exit code %d: %s", check.ProcessState.ExitCode(), out)
	}
	p.kill()
}

// The gateway ends once the delay is over, and not before.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DRAIN_DELAY=500ms"}, "serve"))
	began := time.Now()
	p.terminate()
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("the gateway ended after %v", took)
	}
}
