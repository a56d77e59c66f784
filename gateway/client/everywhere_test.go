package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

func TestWhatIsSentAboutFilesAndTheirCopies(t *testing.T) {
	t.Parallel()
	var got seen
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		got = seen{r.Method, r.RequestURI, r.Header.Get("Prefer"), ""}
		answerJSON(w, 200, struct{}{})
	})
	ctx, d := t.Context(), cas.DigestOf([]byte("x"))
	file, options := "/v1/files/file-a", client.CopyOptions{Purpose: "batch", Name: "a b.md"}
	for name, tt := range map[string]struct {
		call func() error
		want seen
	}{
		"ensure": {
			func() error {
				_, err := c.File("file-a").EnsureCopy(ctx, "a/b", client.EnsureOptions{CopyOptions: options, Async: true})
				return err
			},
			seen{"PUT", file + "/copies/a%2Fb?name=a+b.md&purpose=batch", "respond-async", ""},
		},
		"copies": {func() error { _, err := c.File("file-a").Copies(ctx); return err }, seen{Method: "GET", URI: file + "/copies"}},
		"delete at": {
			func() error { _, err := c.File("file-a").DeleteCopies(ctx, "kimi", "batch"); return err },
			seen{Method: "DELETE", URI: file + "/copies/kimi?purpose=batch"},
		},
		"reference": {
			func() error {
				_, err := c.File("file-a").Reference(ctx, "kimi", client.ReferenceOptions{Kind: "text"})
				return err
			},
			seen{Method: "GET", URI: file + "/references/kimi?kind=text"},
		},
		"everywhere": {
			func() error {
				_, err := c.File("file-a").DeleteEverywhere(ctx, client.EverywhereOptions{Force: true})
				return err
			},
			seen{Method: "DELETE", URI: file + "?everywhere=true"},
		},
		"everywhere, later": {
			func() error {
				_, err := c.File("file-a").DeleteEverywhere(ctx, client.EverywhereOptions{Async: true})
				return err
			},
			seen{"DELETE", file + "?everywhere=true", "respond-async", ""},
		},
		"everywhere, until a failure": {
			func() error {
				_, err := c.File("file-a").DeleteEverywhere(ctx, client.EverywhereOptions{UntilFailure: true})
				return err
			},
			seen{"DELETE", file + "?everywhere=true", "wait=10", ""},
		},
		"everywhere, within a time": {
			func() error {
				limited, cancel := context.WithTimeout(ctx, 4500*time.Millisecond)
				defer cancel()
				_, err := c.File("file-a").DeleteEverywhere(limited, client.EverywhereOptions{})
				return err
			},
			seen{"DELETE", file + "?everywhere=true", "wait=3", ""},
		},
		"blob everywhere": {
			func() error {
				_, err := c.Blob(d).DeleteEverywhere(ctx, client.EverywhereOptions{Force: true})
				return err
			},
			seen{Method: "DELETE", URI: "/v1/blobs/" + d.String() + "?everywhere=true&force=true"},
		},
		"content": {
			func() error {
				content, err := c.File("file-a").CopyContent(ctx, "kimi", options)
				if err == nil {
					err = content.Body.Close()
				}
				return err
			},
			seen{Method: "GET", URI: file + "/copies/kimi/content?name=a+b.md&purpose=batch"},
		},
	} {
		if err := tt.call(); err != nil || got != tt.want {
			t.Errorf("%s sends %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
}

func TestExists(t *testing.T) {
	t.Parallel()
	d := cas.DigestOf([]byte("x"))
	for name, tt := range map[string]struct {
		answer any
		status int
		want   bool
		err    error
	}{
		"there":     {api.Missing{Missing: []cas.Digest{}}, 200, true, nil},
		"not there": {api.Missing{Missing: []cas.Digest{d}}, 200, false, nil},
		"no index":  {problem.Details{Code: problem.IndexUnavailable, Status: 503}, 503, false, cas.ErrIndexUnavailable},
	} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			if tt.status != 200 {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, `{"code":"index_unavailable","status":503}`)
				return
			}
			answerJSON(w, 200, tt.answer)
		})
		if got, err := c.Blob(d).Exists(t.Context()); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
}

// A delete that isn't confirmed is waited for, operation by operation.
func TestDeleteEverywhereWaits(t *testing.T) {
	t.Parallel()
	d := cas.DigestOf([]byte("x"))
	key := func(provider, state, operation string) api.Copy {
		return api.Copy{Digest: d, Provider: provider, State: state, OperationID: operation, ProviderFileID: "f"}
	}
	anew, same := key("kimi", "ready", "other"), key("kimi", "ready", "other")
	anew.ProviderFileID = "f2"
	other := key("anthropic", api.CopyDeleting, "op")
	for name, tt := range map[string]struct {
		operations map[string]api.Operation // by id; others are not found
		left       []api.Copy
		state      string
		err        error
	}{
		"confirmed":             {map[string]api.Operation{"op": {Status: api.OperationSucceeded}}, nil, api.CopyDeleted, nil},
		"its operation is gone": {nil, nil, api.CopyDeleted, nil},
		"another took over":     {nil, []api.Copy{key("kimi", api.CopyDeleting, "other")}, api.CopyDeleting, problem.CopyInProgress},
		"made anew":             {nil, []api.Copy{anew}, api.CopyDeleted, nil},
		"the same is there":     {nil, []api.Copy{same}, "ready", client.ErrProvider},
		"there is no key": {
			map[string]api.Operation{"op": {Status: api.OperationRunning, Error: &problem.Details{Code: problem.ProviderUnavailable}}},
			nil, api.CopyDeleting, client.ErrProvider,
		},
		"the operation waits for another copy, and this one is gone": {
			map[string]api.Operation{"op": {Status: api.OperationRunning, Copy: &other, Error: &problem.Details{Code: problem.ProviderUnavailable}}},
			[]api.Copy{other}, api.CopyDeleted, nil,
		},
		"the operation waits for another copy, and this one is being deleted": {
			map[string]api.Operation{"op": {Status: api.OperationRunning, Copy: &other, Error: &problem.Details{Code: problem.ProviderUnavailable}}},
			[]api.Copy{other, key("kimi", api.CopyDeleting, "op")}, api.CopyDeleting, problem.CopyInProgress,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodDelete:
					answerJSON(w, 202, api.DeletedEverywhere{
						Deleted: api.Deleted{Digest: d, State: cas.StateCondemned},
						Copies:  []api.Copy{key("glm", api.CopyDeleted, "op"), key("kimi", api.CopyDeleting, "op")},
					})
				case strings.HasSuffix(r.URL.Path, "/copies"):
					answerJSON(w, 200, api.CopyList{Copies: tt.left})
				default:
					id := strings.TrimPrefix(r.URL.Path, "/v1/operations/")
					if o, ok := tt.operations[id]; ok {
						answerJSON(w, 200, o)
						return
					}
					w.Header().Set("Content-Type", "application/problem+json")
					w.WriteHeader(404)
					_, _ = io.WriteString(w, `{"code":"operation_not_found","status":404}`)
				}
			})
			gone, err := c.Blob(d).DeleteEverywhere(t.Context(), client.EverywhereOptions{})
			if !errors.Is(err, tt.err) || len(gone.Copies) != 2 || gone.Copies[0].State != api.CopyDeleted || gone.Copies[1].State != tt.state {
				t.Errorf("%+v, %v", gone, err)
			}
		})
	}
}
