package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// seen is a request as the gateway sees it.
type seen struct{ Method, URI, Prefer, Body string }

func TestWhatIsSentAboutCopies(t *testing.T) {
	t.Parallel()
	d := cas.DigestOf([]byte("x"))
	blob := "/v1/blobs/" + d.String()
	var got seen
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{r.Method, r.RequestURI, r.Header.Get("Prefer"), string(body)}
		answerJSON(w, 200, struct{}{})
	})
	ctx := t.Context()
	options := client.CopyOptions{Purpose: "file-extract", Name: "a b.md"}
	for name, tt := range map[string]struct {
		call func() error
		want seen
	}{
		"ensure": {
			func() error { _, err := c.Blob(d).EnsureCopy(ctx, "kimi", client.EnsureOptions{}); return err },
			seen{Method: "PUT", URI: blob + "/copies/kimi", Prefer: "wait=20"},
		},
		"ensure, with everything": {
			func() error {
				_, err := c.Blob(d).EnsureCopy(ctx, "a/b", client.EnsureOptions{CopyOptions: options, Retry: true, Async: true})
				return err
			},
			seen{"PUT", blob + "/copies/a%2Fb?name=a+b.md&purpose=file-extract&retry=true", "respond-async", ""},
		},
		"lost": {
			func() error { _, err := c.Blob(d).ReportLost(ctx, "kimi", "file_1", options); return err },
			seen{Method: "POST", URI: blob + "/copies/kimi/lost?name=a+b.md&purpose=file-extract", Prefer: "wait=20", Body: `{"provider_file_id":"file_1"}`},
		},
		"copies":    {func() error { _, err := c.Blob(d).Copies(ctx); return err }, seen{Method: "GET", URI: blob + "/copies"}},
		"copy":      {func() error { _, err := c.Blob(d).Copy(ctx, "kimi", options); return err }, seen{Method: "GET", URI: blob + "/copies/kimi?name=a+b.md&purpose=file-extract"}},
		"delete":    {func() error { _, err := c.Blob(d).DeleteCopies(ctx, "kimi", ""); return err }, seen{Method: "DELETE", URI: blob + "/copies/kimi"}},
		"delete of": {func() error { _, err := c.Blob(d).DeleteCopies(ctx, "kimi", "batch"); return err }, seen{Method: "DELETE", URI: blob + "/copies/kimi?purpose=batch"}},
		"reference": {
			func() error {
				_, err := c.Blob(d).Reference(ctx, "kimi", client.ReferenceOptions{CopyOptions: options, Kind: "text"})
				return err
			},
			seen{Method: "GET", URI: blob + "/references/kimi?kind=text&name=a+b.md&purpose=file-extract"},
		},
		"providers": {func() error { _, err := c.Providers(ctx); return err }, seen{Method: "GET", URI: "/v1/providers"}},
		"provider":  {func() error { _, err := c.Provider(ctx, "kimi"); return err }, seen{Method: "GET", URI: "/v1/providers/kimi"}},
		"reconcile": {func() error { _, err := c.Reconcile(ctx, "kimi", client.ReconcileOptions{}); return err }, seen{Method: "POST", URI: "/v1/providers/kimi/reconcile?apply=false"}},
		"apply":     {func() error { _, err := c.Reconcile(ctx, "kimi", client.ReconcileOptions{Apply: true}); return err }, seen{Method: "POST", URI: "/v1/providers/kimi/reconcile?apply=true"}},
		"operation": {func() error { _, err := c.Operation(ctx, "1.kimi"); return err }, seen{Method: "GET", URI: "/v1/operations/1.kimi"}},
	} {
		if err := tt.call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestUploadAsksForCopies(t *testing.T) {
	t.Parallel()
	source := sourceOf("x")
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("providers"); got != "kimi,glm" {
			t.Errorf("providers=%s", got)
		}
		answerJSON(w, 201, api.Blob{Digest: source.Digest, Asked: []api.AskedCopy{
			{Provider: "kimi", State: "pending", OperationID: "1.kimi"},
			{Provider: "glm", State: "failed", Error: &problem.Details{Code: problem.ProviderRejected}},
		}})
	})
	blob, err := c.Put(t.Context(), source, client.PutOptions{Providers: []string{"kimi", "glm"}})
	if err != nil || len(blob.Asked) != 2 || blob.Asked[1].Error.Code != problem.ProviderRejected {
		t.Errorf("%+v, %v", blob, err)
	}
}

// accept answers 202 with a copy that is being made.
func accept(operation string) step {
	return func(*http.Request) (*http.Response, error) {
		return response(202, "application/json", api.Copy{State: "uploading", OperationID: operation}), nil
	}
}

func operationIs(status string, said *problem.Details) step {
	return func(*http.Request) (*http.Response, error) {
		res := response(200, "application/json", api.Operation{ID: "op", Status: status, Copy: &api.Copy{State: status, ProviderFileID: "file_1"}, Error: said})
		res.Header.Set("Retry-After", "1")
		return res, nil
	}
}

func TestEnsureWaitsBeyondTheGatewaysPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, steps: []step{
			refuse(503, problem.ProviderUnavailable, "3"), accept("op"),
			operationIs(api.OperationPending, nil), operationIs(api.OperationRunning, nil), breakOff, operationIs(api.OperationSucceeded, nil),
		}}
		made, err := s.client().Blob(cas.Digest{}).EnsureCopy(t.Context(), "kimi", client.EnsureOptions{})
		if err != nil || made.ProviderFileID != "file_1" || len(s.at) != len(s.steps) {
			t.Errorf("%+v, %v after %d requests", made, err, len(s.at))
		}
		if wait := s.at[1]; wait < 3*time.Second {
			t.Errorf("asked again after %v, not the 3 s that were asked for", wait)
		}
		if wait := s.at[3] - s.at[2]; wait != time.Second {
			t.Errorf("looked again after %v, not the second that was asked for", wait)
		}
	})
}

func TestAsyncEnsureComesBackAtOnce(t *testing.T) {
	s := &script{t: t, steps: []step{accept("op")}}
	made, err := s.client().Blob(cas.Digest{}).EnsureCopy(t.Context(), "kimi", client.EnsureOptions{Async: true})
	if err != nil || made.State != "uploading" || made.OperationID != "op" {
		t.Errorf("%+v, %v", made, err)
	}
}

func TestFailedOperationIsAnErrorWithTheProvidersWords(t *testing.T) {
	said := problem.Details{
		Code: problem.ProviderRejected, Status: 422, Detail: "no",
		Provider: "kimi", ProviderCode: "content_filter", ProviderMessage: "high risk",
	}
	for name, call := range map[string]func(*client.Client) error{
		"ensure": func(c *client.Client) error {
			_, err := c.Blob(cas.Digest{}).EnsureCopy(t.Context(), "kimi", client.EnsureOptions{})
			return err
		},
		"lost": func(c *client.Client) error {
			_, err := c.Blob(cas.Digest{}).ReportLost(t.Context(), "kimi", "", client.CopyOptions{})
			return err
		},
	} {
		s := &script{t: t, steps: []step{accept("op"), operationIs(api.OperationFailed, &said)}}
		err := call(s.client())
		e, ok := errors.AsType[*client.Error](err)
		if !ok || !errors.Is(err, client.ErrProvider) {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(said, e.Problem); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWaitForAnOperationEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		running := operationIs(api.OperationRunning, nil)
		s := &script{t: t, steps: []step{running, running, running}}
		operation, err := s.client().WaitOperation(ctx, "op")
		if !errors.Is(err, context.DeadlineExceeded) || operation.Status != api.OperationRunning || len(s.at) != 2 {
			t.Errorf("%+v, %v after %d looks", operation, err, len(s.at))
		}
	})
}

func TestProblemsOfProvidersAreRetriedOnlyWhereThatMayHelp(t *testing.T) {
	for _, tt := range []struct {
		status    int
		code      problem.Code
		retryable bool
		want      error
		again     bool
	}{
		{429, problem.ProviderRateLimited, true, client.ErrProvider, true},
		{503, problem.ProviderUnavailable, true, client.ErrProvider, true},
		{503, problem.ProviderUnavailable, false, client.ErrProvider, false}, // not configured
		{409, problem.CopyInProgress, true, problem.CopyInProgress, true},
		{409, problem.BlobInUse, false, cas.ErrBlobInUse, false},
		{422, problem.ProviderRejected, false, client.ErrProvider, false},
		{502, problem.ProviderFailed, true, client.ErrProvider, false},
		{504, problem.ProviderTimeout, true, client.ErrProvider, false},
		{507, problem.ProviderQuota, true, client.ErrProvider, false},
		{404, problem.ProviderNotFound, false, problem.ProviderNotFound, false},
		{404, problem.CopyNotFound, false, problem.CopyNotFound, false},
		{404, problem.OperationNotFound, false, problem.OperationNotFound, false},
	} {
		t.Run(string(tt.code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				no := func(*http.Request) (*http.Response, error) {
					return response(tt.status, "application/problem+json", problem.Details{Code: tt.code, Retryable: tt.retryable}), nil
				}
				s := &script{t: t, steps: []step{no, no, no, no, no}}
				_, err := s.client().Blob(cas.Digest{}).Reference(t.Context(), "kimi", client.ReferenceOptions{})
				if !errors.Is(err, tt.want) || (len(s.at) > 1) != tt.again {
					t.Errorf("%v after %d attempts", err, len(s.at))
				}
			})
		})
	}
}

func TestTextIsVerified(t *testing.T) {
	t.Parallel()
	text := "the extracted text"
	sent, etag := text, `"`+cas.DigestOf([]byte(text)).String()+`"`
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("ETag", etag)
		_, _ = io.WriteString(w, sent)
	})
	read := func() (string, error) {
		content, err := c.Blob(cas.DigestOf([]byte("x"))).Text(t.Context(), client.TextOptions{Provider: "kimi"})
		if err != nil {
			return "", err
		}
		defer content.Body.Close()
		b, err := io.ReadAll(content.Body)
		return string(b), err
	}
	if got, err := read(); err != nil || got != text {
		t.Errorf("%q, %v", got, err)
	}
	sent = strings.ToUpper(text)
	if got, err := read(); !errors.Is(err, cas.ErrDigestMismatch) {
		t.Errorf("another text: %q, %v", got, err)
	}
	etag = `"something"`
	if got, err := read(); err == nil {
		t.Errorf("an answer without a digest: %q", got)
	}
}

// A proxy that waits less long than the gateway answers 504. To ask again is safe.
func TestProxyTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := func(status int) step {
			return func(*http.Request) (*http.Response, error) { return response(status, "text/html", "Time-out"), nil }
		}
		s := &script{t: t, steps: []step{late(504), late(502), succeed(api.Copy{State: "ready"})}}
		if made, err := s.client().Blob(cas.Digest{}).EnsureCopy(t.Context(), "kimi", client.EnsureOptions{}); err != nil || made.State != "ready" {
			t.Errorf("%+v, %v, after %d attempts", made, err, len(s.at))
		}
		s = &script{t: t, steps: []step{late(504)}}
		_, err := s.client().Blob(cas.Digest{}).DeleteCopies(t.Context(), "kimi", "")
		if err == nil || strings.Contains(err.Error(), "is the URL right") || !strings.Contains(err.Error(), "a proxy before") {
			t.Errorf("a delete: %v", err)
		}
	})
}
