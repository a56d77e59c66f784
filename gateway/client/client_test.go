package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withGateway{m}) }

// token is one that errors must not show.
const token = "cas_id_verysecret"

// newClient starts a server and returns a client of it that tries once only.
func newClient(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	c := clientOf(t, server.URL)
	t.Cleanup(server.Close)
	return c
}

func clientOf(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(url, client.Options{Token: token, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func answerProblem(w http.ResponseWriter, status int, code problem.Code) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem.Details{Title: "a title", Detail: "a detail", Status: status, Code: code, OperationID: "op-1"})
}

// hangUp closes the connection without an answer. (http.ErrAbortHandler would
// wait for the request's body first.)
func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // httptest's connections can be taken
	}
	conn.Close()
}

// calls are all the methods, to be tried against one kind of failure.
func calls(c *client.Client, ctx context.Context) map[string]func() error {
	d := cas.DigestOf([]byte("x"))
	return map[string]func() error{
		"Put": func() error {
			_, err := c.Put(ctx, sourceOf("x"), client.PutOptions{})
			return err
		},
		"PutStream": func() error {
			_, err := c.PutStream(ctx, strings.NewReader("x"), client.PutOptions{})
			return err
		},
		"Get": func() error {
			content, err := c.Blob(d).Open(ctx, client.OpenOptions{})
			if err == nil {
				content.Body.Close()
			}
			return err
		},
		"Stat": func() error {
			_, err := c.Blob(d).Stat(ctx, client.OpenOptions{})
			return err
		},
		"Meta": func() error {
			_, err := c.Blob(d).Meta(ctx)
			return err
		},
		"Delete": func() error { return c.Blob(d).Delete(ctx, client.DeleteOptions{Force: true}) },
		"List": func() error {
			for _, err := range c.Blobs(ctx, client.BlobListOptions{}) {
				return err
			}
			return nil
		},
		"FindMissing": func() error {
			_, err := c.FindMissing(ctx, []cas.Digest{d})
			return err
		},
		"SignURL": func() error {
			_, err := c.Blob(d).SignURL(ctx, 1e9)
			return err
		},
		"Ready": func() error { return c.Ready(ctx) },
		"EnsureCopy": func() error {
			_, err := c.Blob(d).EnsureCopy(ctx, "kimi", client.EnsureOptions{})
			return err
		},
		"ReportLost": func() error {
			_, err := c.Blob(d).ReportLost(ctx, "kimi", "id", client.CopyOptions{})
			return err
		},
		"Copies": func() error {
			_, err := c.Blob(d).Copies(ctx)
			return err
		},
		"Copy": func() error {
			_, err := c.Blob(d).Copy(ctx, "kimi", client.CopyOptions{})
			return err
		},
		"DeleteCopies": func() error {
			_, err := c.Blob(d).DeleteCopies(ctx, "kimi", "")
			return err
		},
		"Reference": func() error {
			_, err := c.Blob(d).Reference(ctx, "kimi", client.ReferenceOptions{})
			return err
		},
		"Text": func() error {
			content, err := c.Blob(d).Text(ctx, client.TextOptions{})
			if err == nil {
				content.Body.Close()
			}
			return err
		},
		"Providers": func() error {
			_, err := c.Providers(ctx)
			return err
		},
		"Provider": func() error {
			_, err := c.Provider(ctx, "kimi")
			return err
		},
		"Reconcile": func() error {
			_, err := c.Reconcile(ctx, "kimi", client.ReconcileOptions{Apply: true})
			return err
		},
		"Operation": func() error {
			_, err := c.Operation(ctx, "id")
			return err
		},
		"Records": func() error {
			_, err := c.Records(ctx, client.RecordOptions{})
			return err
		},
		"RecordsSince": func() error {
			_, err := c.RecordsSince(ctx, "0", client.RecordOptions{})
			return err
		},
		"WaitOperation": func() error {
			_, err := c.WaitOperation(ctx, "id")
			return err
		},
	}
}

// eachCall runs every method against a server, with the errors that come of it.
func eachCall(t *testing.T, handler http.HandlerFunc, check func(t *testing.T, method string, err error)) {
	t.Helper()
	c := newClient(t, handler)
	for method, call := range calls(c, t.Context()) {
		t.Run(method, func(t *testing.T) {
			err := call()
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "verysecret") {
				t.Errorf("the token is in the error: %v", err)
			}
			check(t, method, err)
		})
	}
}

func TestNewRefusesWhatIsNoGateway(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:8080", "ftp://host", "http://", "http://user:verysecret@host", "http://host?x=verysecret", "http://host#x", "http://%zz"} {
		c, err := client.New(url, client.Options{})
		if err == nil {
			t.Errorf("%q is taken for %s", url, c.BaseURL())
		} else if strings.Contains(err.Error(), "verysecret") {
			t.Errorf("the error repeats a secret: %v", err)
		}
	}
	for _, token := range []string{"verysecret\n", "very secret", "verysecrét"} {
		_, err := client.New("http://host", client.Options{Token: token})
		if err == nil || strings.Contains(err.Error(), "secr") {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

func TestBaseURLForms(t *testing.T) {
	for given, want := range map[string]string{
		"http://host":           "http://host",
		"http://host/":          "http://host",
		"https://host:8443/a/":  "https://host:8443/a",
		"http://[::1]:8080//":   "http://[::1]:8080",
		"http://host/a%20b/c//": "http://host/a%20b/c",
		"http://host/v1":        "http://host",
		"https://host/a/v1/":    "https://host/a",
		"http://host/av1":       "http://host/av1",
	} {
		c, err := client.New(given, client.Options{})
		if err != nil || c.BaseURL() != want {
			t.Errorf("%s: got %v, %v", given, c, err)
		}
	}
}

func TestTokenAndUserAgentAreSent(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token || r.UserAgent() != "casgate-client" {
			t.Errorf("headers %v", r.Header)
		}
		answerJSON(w, 200, api.BlobMeta{State: cas.StateLive})
	})
	if meta, err := c.Blob(cas.Digest{}).Meta(t.Context()); err != nil || meta.State != cas.StateLive {
		t.Errorf("got %v, %v", meta, err)
	}
}

func TestNothingListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ln.Addr().String()
	ln.Close()
	for method, call := range calls(clientOf(t, url), t.Context()) {
		err := call()
		if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), url) || !strings.Contains(err.Error(), "is `cas serve` running") {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestRedirectElsewhereIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s went to the other host, with the headers %v", r.Method, r.URL, r.Header)
	}))
	defer other.Close()
	eachCall(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path+"?secret", http.StatusTemporaryRedirect)
	}, func(t *testing.T, method string, err error) {
		if method == "PutStream" { // can't be redirected at all
			return
		}
		if !strings.Contains(err.Error(), "redirects to "+other.URL+",") {
			t.Error(err)
		}
	})
}

func TestRedirectWithinTheGateway(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/moved") {
			http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusPermanentRedirect)
			return
		}
		answerJSON(w, 200, api.Missing{})
	})
	if _, err := c.FindMissing(t.Context(), []cas.Digest{{}}); err != nil {
		t.Error(err)
	}
	round := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusPermanentRedirect)
	})
	if _, err := round.Blob(cas.Digest{}).Meta(t.Context()); err == nil || !strings.Contains(err.Error(), "again and again") {
		t.Error(err)
	}
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	arrived := make(chan struct{}, 1)
	c := newClient(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	failed := make(chan error)
	go func() {
		_, err := c.Blob(cas.Digest{}).Meta(ctx)
		failed <- err
	}()
	<-arrived
	cancel(context.Canceled)
	if err := <-failed; !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnreachable) {
		t.Errorf("under way: %v", err)
	}
	for method, call := range calls(c, ctx) {
		if err := call(); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%s, ahead: %v", method, err)
		}
	}
}
