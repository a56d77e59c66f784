package gateway_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
	"casgate/providers/glm"
	"casgate/providers/guard"
	"casgate/providers/kimi"
	"casgate/providers/replicator"
	"casgate/providers/simulator"
	"casgate/providers/simulator/glmsim"
	"casgate/providers/simulator/kimisim"
)

// The tests here go all the way: HTTP, replicator, guard, adapter, and a simulated
// provider behind HTTP again.

const (
	kimiKey = "sk-0123456789abcdefSECRET"
	glmKey  = "0123456789abcdefID.secretSECRET"
)

// chain is an account at a simulator, with its guard.
func chain(t *testing.T, handler http.Handler, prefix string, open func(providers.Settings) (providers.Provider, error), key string, logs *syncBuffer) providers.Guarded {
	t.Helper()
	server := httptest.NewServer(handler)
	castest.Cleanup(t, server.Close)
	transport := &http.Transport{}
	castest.Cleanup(t, transport.CloseIdleConnections)
	adapter, err := open(providers.Settings{APIKey: key, BaseURL: server.URL + prefix, Transport: transport, Settling: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return guard.New(adapter, guard.Options{
		Retry:   guard.RetryOptions{Attempts: 1},
		Break:   guard.BreakOptions{OpenFor: 300 * time.Millisecond},
		Observe: guard.ObserveOptions{Log: zerolog.New(logs)},
	})
}

// startChain runs a gateway with Kimi and GLM, simulated.
func startChain(t *testing.T, p *parts) (s *server, atKimi *kimisim.Server, atGLM *glmsim.Server) {
	t.Helper()
	atKimi, atGLM = kimisim.New(kimisim.Options{Key: kimiKey}), glmsim.New(glmsim.Options{Key: glmKey})
	logs := &syncBuffer{}
	accounts := []providers.Guarded{
		chain(t, atKimi, kimisim.Prefix, kimi.Open, kimiKey, logs),
		chain(t, atGLM, glmsim.Prefix, glm.Open, glmKey, logs),
	}
	p.copies = func(o *replicator.Options) { o.Providers, o.MaxAttempts = accounts, 1 }
	s = start(t, p, nil)
	castest.Cleanup(t, func() {
		for _, text := range []string{logs.String(), s.logs.String()} {
			if strings.Contains(text, "SECRET") {
				t.Error("a log gives a key away")
			}
		}
		wantNoPanic(t, s)
	})
	return s, atKimi, atGLM
}

func TestCopiesAllTheWay(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, atKimi, atGLM := startChain(t, p)
		content := "# 标题\n\nsome text"
		d := s.putNamed(content, "x.md")
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if a, err := s.try("PUT", s.copyPath(d, "kimi"), nil); err != nil || a.StatusCode != 200 {
					t.Errorf("%d %s, %v", a.StatusCode, a.body, err)
				}
			})
		}
		group.Wait()
		files := atKimi.Files()
		if len(files) != 1 || files[0].Digest != d || atKimi.Uploads() != 1 {
			t.Fatalf("at kimi there are %+v after %d uploads", files, atKimi.Uploads())
		}
		c := s.ensure(d, "kimi")
		if c.ProviderFileID != files[0].ID || c.Purpose != "file-extract" {
			t.Errorf("%+v", c)
		}
		text := s.do("GET", s.path(d)+"/text", nil)
		if text.StatusCode != 200 || len(text.body) == 0 {
			t.Fatalf("%d %s", text.StatusCode, text.body)
		}
		asked := atKimi.Requests("")
		ref := decode[api.Reference](t, s.do("GET", s.path(d)+"/references/kimi", nil))
		if !strings.Contains(string(ref.Value), "some text") {
			t.Errorf("%s", ref.Value)
		}
		if n := atKimi.Requests(""); n != asked {
			t.Errorf("kimi was asked %d times for a copy that is known", n-asked)
		}
		table := s.putNamed("a,b\n1,2\n", "t.csv")
		if c := s.ensure(table, "glm"); len(atGLM.Files()) != 1 || atGLM.Files()[0].ID != c.ProviderFileID {
			t.Errorf("%+v, %+v", c, atGLM.Files())
		}
		atKimi.Forget(c.ProviderFileID)
		a := s.do("POST", s.copyPath(d, "kimi")+"/lost", strings.NewReader(`{"provider_file_id":"`+c.ProviderFileID+`"}`))
		if again := decode[api.Copy](t, a); a.StatusCode != 200 || !*again.Created || again.ProviderFileID == c.ProviderFileID {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		report := decode[api.Reconciliation](t, s.do("POST", "/v1/providers/kimi/reconcile", nil))
		if report.Remote != 1 || len(report.Unknown)+len(report.Gone)+report.Foreign != 0 {
			t.Errorf("%+v", report)
		}
		if a := s.do("DELETE", s.copyPath(d, "kimi"), nil); a.StatusCode != 200 || len(atKimi.Files()) != 0 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if again := s.do("GET", s.path(d)+"/text", nil); !bytes.Equal(again.body, text.body) {
			t.Errorf("the text, when the file is gone: %d %s", again.StatusCode, again.body)
		}
	})
}

func TestProviderThatFailsAllTheWay(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, atKimi, _ := startChain(t, p)
		d := s.putNamed("unlucky", "x.txt")
		put := func() answer { return s.do("PUT", s.copyPath(d, "kimi")+"?retry=true", nil) }
		refuse := func(status int, code, message string) {
			atKimi.Clear()
			atKimi.Fail(simulator.Fault{Op: providers.OpUpload, Kind: simulator.Refuse, Status: status, Code: code, Message: message})
		}
		refuse(400, "content_filter", "The request was rejected because it was considered high risk")
		if said := put().wantProblem(t, 422, problem.ProviderRejected); said.ProviderCode != "content_filter" || !strings.Contains(said.ProviderMessage, "high risk") {
			t.Errorf("%+v", said)
		}
		refuse(401, "invalid_authentication_error", "Invalid Authentication")
		if said := put().wantProblem(t, 502, problem.ProviderFailed); said.Retryable || !strings.Contains(said.Detail, "CAS_KIMI_API_KEY") {
			t.Errorf("%+v", said)
		}
		if health := decode[api.Health](t, s.do("GET", "/readyz", nil)); health.Status != "ok" || health.Providers["kimi"] != "the key is refused" {
			t.Errorf("%+v", health)
		}
		refuse(429, "exceeded_current_quota_error", "Your account org<ak-1> is suspended, please check your plan and billing details")
		put().wantProblem(t, 507, problem.ProviderQuota)

		// The reply to an upload is lost: the uploaded file is found, and not made twice.
		atKimi.Clear()
		atKimi.Fail(simulator.Fault{Op: providers.OpUpload, Kind: simulator.HTMLTimeout, Applied: true, Times: 1})
		if a := put(); a.StatusCode != 200 && a.StatusCode != 502 && a.StatusCode != 504 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if a := put(); a.StatusCode != 200 || len(atKimi.Files()) != 1 || atKimi.Uploads() != 1 {
			t.Errorf("%d %s after %d uploads", a.StatusCode, a.body, atKimi.Uploads())
		}

		// The provider is gone: after a few failures it is left alone.
		other := s.putNamed("too late", "x.txt")
		atKimi.Fail(simulator.Fault{Kind: simulator.Down})
		eventually(t, "the breaker to open", func() bool {
			a := s.do("PUT", s.copyPath(other, "kimi")+"?retry=true", nil)
			return a.StatusCode == 503 && a.wantProblem(t, 503, problem.ProviderUnavailable).RetryAfter > 0
		})
		s.wantBlob([]byte("too late"))
		s.put(random(1000))
		s.ensure(d, "kimi")
		if a := s.do("GET", "/readyz", nil); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		atKimi.Clear()
		eventually(t, "the provider to be tried again", func() bool {
			return s.do("PUT", s.copyPath(other, "kimi")+"?retry=true", nil).StatusCode == 200
		})

		// The account is too busy, which holds back its other uploads, too.
		refuse(429, "rate_limit_reached_error", "Your account org<ak-1> request reached organization max RPM: 3, please try again after 20 seconds")
		sent := atKimi.Requests(providers.OpUpload)
		for i, name := range []string{"refused", "held back"} {
			busy := s.putNamed(name, "x.txt")
			said := s.do("PUT", s.copyPath(busy, "kimi"), nil).wantProblem(t, 429, problem.ProviderRateLimited)
			if said.RetryAfter != 20 && (i == 0 || said.RetryAfter < 10) {
				t.Errorf("%s: %+v", name, said)
			}
		}
		if n := atKimi.Requests(providers.OpUpload) - sent; n != 1 {
			t.Errorf("%d uploads were sent", n)
		}
		if kimi := decode[api.Provider](t, s.do("GET", "/v1/providers/kimi", nil)); kimi.HeldUntil == nil || time.Until(*kimi.HeldUntil) > 20*time.Second {
			t.Errorf("held until %v", kimi.HeldUntil)
		}
	})
}
