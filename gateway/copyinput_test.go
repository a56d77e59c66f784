package gateway_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
)

func TestWrongRequestsForCopies(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("some text", "x.txt")
		large := s.putNamed(strings.Repeat("large", 3000), "x.txt")
		empty := s.putNamed("", "x.txt")
		program := s.putNamed("MZ", "setup.exe")
		for _, tt := range []struct {
			name         string
			method, path string
			status       int
			code         problem.Code
			says         string
		}{
			{"unknown provider", "PUT", s.copyPath(d, "absent"), 404, problem.ProviderNotFound, "kimi"},
			{"strange provider", "PUT", s.copyPath(d, "%00%2F%F0%9F%99%82"), 404, problem.ProviderNotFound, ""},
			{"provider not configured", "PUT", s.copyPath(d, "qwen"), 503, problem.ProviderUnavailable, "CAS_QWEN_API_KEY"},
			{"copy at one not configured", "GET", s.copyPath(d, "qwen"), 503, problem.ProviderUnavailable, "CAS_QWEN_API_KEY"},
			{"unknown purpose", "PUT", s.copyPath(d, "kimi") + "?purpose=dance", 422, problem.ProviderRejected, "file-extract, image"},
			{"wrong extension", "PUT", s.copyPath(program, "kimi"), 422, problem.ProviderRejected, ".md"},
			{"wrong extension by the name", "PUT", s.copyPath(d, "kimi") + "?name=x.exe", 422, problem.ProviderRejected, ".exe"},
			{"wrong purpose for the kind", "PUT", s.copyPath(d, "kimi") + "?purpose=image", 422, problem.ProviderRejected, ".png"},
			{"too large", "PUT", s.copyPath(large, "kimi"), 422, problem.ProviderRejected, "15000 bytes"},
			{"too large, in the background", "PUT", s.copyPath(large, "kimi") + "#async", 422, problem.ProviderRejected, "15000 bytes"},
			{"empty", "PUT", s.copyPath(empty, "kimi"), 422, problem.ProviderRejected, "empty"},
			{"control characters", "PUT", s.copyPath(d, "kimi") + "?name=a%0Ab.txt", 400, problem.InvalidRequest, "control"},
			{"name not UTF-8", "PUT", s.copyPath(d, "kimi") + "?name=%ff.txt", 400, problem.InvalidRequest, "UTF-8"},
			{"name of 300 characters", "PUT", s.copyPath(d, "kimi") + "?name=" + strings.Repeat("n", 300) + ".txt", 400, problem.InvalidRequest, "304 characters"},
			{"malformed query", "PUT", s.copyPath(d, "kimi") + "?name=%zz", 400, problem.InvalidRequest, "query"},
			{"retry of a third kind", "PUT", s.copyPath(d, "kimi") + "?retry=maybe", 400, problem.InvalidRequest, "retry"},
			{"reference, with a retry of a third kind", "GET", s.path(d) + "/references/kimi?retry=maybe", 400, problem.InvalidRequest, "retry"},
			{"text, with a retry of a third kind", "GET", s.path(d) + "/text?retry=maybe", 400, problem.InvalidRequest, "retry"},
			{"lost without a copy", "POST", s.copyPath(d, "kimi") + "/lost", 404, problem.CopyNotFound, "none at kimi"},
			{"unknown kind of reference", "GET", s.path(d) + "/references/kimi?kind=telepathy", 422, problem.ProviderRejected, "file_id"},
			{"reference for another purpose", "GET", s.path(d) + "/references/kimi?purpose=image", 422, problem.ProviderRejected, ""},
			{"reference at an unknown provider", "GET", s.path(d) + "/references/absent", 404, problem.ProviderNotFound, ""},
			{"text by one that has none", "GET", s.path(d) + "/text?provider=glm", 422, problem.ProviderRejected, "extracts no text"},
			{"text by an unknown provider", "GET", s.path(d) + "/text?provider=absent", 404, problem.ProviderNotFound, ""},
			{"text of a program", "GET", s.path(program) + "/text", 422, problem.ProviderRejected, ".exe"},
			{"lost at an unknown provider", "POST", s.copyPath(d, "absent") + "/lost", 404, problem.ProviderNotFound, ""},
			{"apply of a third kind", "POST", "/v1/providers/kimi/reconcile?apply=maybe", 400, problem.InvalidRequest, "apply"},
			{"unknown provider's state", "GET", "/v1/providers/absent", 404, problem.ProviderNotFound, ""},
			{"reconcile at an unknown provider", "POST", "/v1/providers/absent/reconcile", 404, problem.ProviderNotFound, ""},
			{"reconcile at one not configured", "POST", "/v1/providers/qwen/reconcile", 503, problem.ProviderUnavailable, ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				path, async := strings.CutSuffix(tt.path, "#async")
				var headers []string
				if async {
					headers = []string{"Prefer", "respond-async"}
				}
				a, err := s.try(tt.method, path, nil, headers...)
				if err != nil {
					t.Fatal(err)
				}
				said := a.wantProblem(t, tt.status, tt.code)
				if !strings.Contains(said.Detail, tt.says) {
					t.Errorf("the detail doesn't say %q: %s", tt.says, said.Detail)
				}
				if tt.status == 422 && said.Provider == "" && said.ProviderCode != "" || said.Retryable {
					t.Errorf("%s", a.body)
				}
			})
		}
		if n := kimi.count(providers.OpUpload); n != 0 {
			t.Errorf("refused requests have led to %d uploads", n)
		}
		wantNoPanic(t, s)
	})
}

// A name may have any character; the name sent to the provider is harmless.
func TestNamesOfCopies(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		mark, err := p.index.Mark(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, remote := range map[string]string{
			"../../etc/passwd.txt":              "passwd-",
			`C:\Users\me\notes.MD`:              "notes-",
			"报告 (终稿).txt":                       "报告 (终稿)-",
			"🙂.md":                              "🙂-",
			strings.Repeat("long", 60) + ".txt": strings.Repeat("long", 30) + "-",
			"quo\"te.txt":                       "quo'te-",
			".txt":                              "file-",
		} {
			d := s.put([]byte("the content of " + name))
			a := s.do("PUT", s.copyPath(d, "kimi")+"?name="+url.QueryEscape(name), nil)
			if a.StatusCode != 200 {
				t.Errorf("%q: %d %s", name, a.StatusCode, a.body)
				continue
			}
			id := decode[api.Copy](t, a).ProviderFileID
			kimi.change(func() {
				if got := kimi.files[id].Name; !strings.HasPrefix(got, remote+string(mark)+"-"+d.Hex()[:16]) {
					t.Errorf("%q became %q", name, got)
				}
			})
		}
	})
}

func TestFailuresOfAProvider(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, oneAttempt, nil)
		d := s.putNamed("unlucky", "x.txt")
		for _, tt := range []struct {
			name       string
			err        providers.Error
			status     int
			code       problem.Code
			retryAfter int // at least; 0: not retryable
		}{
			{"refused", providers.Error{Kind: providers.KindPermanent, Status: 400, Code: "content_filter"}, 422, problem.ProviderRejected, 0},
			{"key rejected", providers.Error{Kind: providers.KindAuth, Status: 401, Code: "invalid_authentication_error", Hint: "check CAS_KIMI_API_KEY"}, 502, problem.ProviderFailed, 0},
			{"unpaid", providers.Error{Kind: providers.KindQuota, Status: 429, Code: "exceeded_current_quota_error"}, 507, problem.ProviderQuota, 0},
			{"rate limited", providers.Error{Kind: providers.KindTransient, Status: 429, TooMany: true, RetryAfter: 7100 * time.Millisecond}, 429, problem.ProviderRateLimited, 8},
			{"overloaded", providers.Error{Kind: providers.KindTransient, Status: 429, Code: "engine_overloaded_error"}, 429, problem.ProviderRateLimited, 1},
			{"timed out", providers.Error{Kind: providers.KindUnknown, Code: providers.CodeTimeout}, 504, problem.ProviderTimeout, 1},
			{"reply lost", providers.Error{Kind: providers.KindUnknown, Code: providers.CodeBadAnswer}, 502, problem.ProviderFailed, 1},
			{"failed", providers.Error{Kind: providers.KindTransient, Status: 500}, 502, problem.ProviderFailed, 1},
		} {
			tt.err.Provider, tt.err.Op, tt.err.Message = "kimi", providers.OpUpload, "its words on "+tt.name
			kimi.breaks(providers.OpUpload, &tt.err)
			a := s.do("PUT", s.copyPath(d, "kimi")+"?retry=true", nil)
			said := a.wantProblem(t, tt.status, tt.code)
			if said.Provider != "kimi" || said.ProviderCode != tt.err.Code || said.ProviderMessage != tt.err.Message || !strings.Contains(said.Detail, tt.err.Hint) {
				t.Errorf("%s: %s", tt.name, a.body)
			}
			if said.Retryable != (tt.retryAfter > 0) || said.RetryAfter < tt.retryAfter {
				t.Errorf("%s: %s", tt.name, a.body)
			}
			failed := decode[api.Copy](t, s.do("GET", s.copyPath(d, "kimi"), nil))
			if failed.State != "failed" || failed.Error == nil || failed.Error.Kind != string(tt.err.Kind) || failed.Error.Message != tt.err.Message {
				t.Errorf("%s: the copy is %+v", tt.name, failed)
			}
			// Asked again, without retry: the same answer, without another attempt.
			tries := kimi.count(providers.OpUpload)
			s.do("PUT", s.copyPath(d, "kimi"), nil).wantProblem(t, tt.status, tt.code)
			s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async").wantProblem(t, tt.status, tt.code)
			if n := kimi.count(providers.OpUpload); n != tries {
				t.Errorf("%s: tried again by itself", tt.name)
			}
		}
		kimi.breaks(providers.OpUpload, nil)
		if a := s.do("PUT", s.copyPath(d, "kimi")+"?retry=true", nil); a.StatusCode != 200 {
			t.Errorf("when it works again: %d %s", a.StatusCode, a.body)
		}
	})
}

// Bytes of our own that are wrong are not the provider's fault, and reach no
// provider.
func TestDamagedBlobIsNotCopied(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, oneAttempt, func(_ *gatewayOptions, o *cas.Options) { o.HotBlobSize, o.VerifiedFor = -1, 0 })
		d := s.putNamed("to be damaged", "x.txt")
		p.damage(t, d)
		said := s.do("PUT", s.copyPath(d, "kimi"), nil).wantProblem(t, 502, problem.ObjectCorrupt)
		if said.Provider != "" || len(kimi.ids()) != 0 {
			t.Errorf("%+v; at the provider there are %v", said, kimi.ids())
		}
		missing := s.putNamed("to be removed", "x.txt")
		p.remove(t, missing)
		s.do("PUT", s.copyPath(missing, "kimi"), nil).wantProblem(t, 502, problem.ObjectMissing)
		if a := s.do("PUT", s.path(d), strings.NewReader("to be damaged")); a.StatusCode != 201 {
			t.Fatalf("the repair: %d %s", a.StatusCode, a.body)
		}
		eventually(t, "the repaired blob to be copied", func() bool { return s.do("PUT", s.copyPath(d, "kimi"), nil).StatusCode == 200 })
	})
}
