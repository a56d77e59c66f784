package providertest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"casgate/providers"
	"casgate/providers/openaicompat"
	"casgate/providers/providertest"
	"casgate/providers/simulator/openaisim"
)

const key = "sk-simulated0123456789abcdef"

// open returns an adapter that is right, and its simulator.
func open(t *testing.T, o openaisim.Options) (providers.Provider, *openaisim.Server) {
	o.Key = key
	remote := openaisim.New(o)
	server := httptest.NewServer(remote)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	p, err := openaicompat.Open(providers.Settings{Name: "openai", APIKey: key, BaseURL: server.URL + openaisim.Prefix, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p, remote
}

func harness(wrap func(providers.Provider) providers.Provider) providertest.Harness {
	return providertest.Harness{
		Open: func(t *testing.T) (providers.Provider, providertest.Remote) {
			p, remote := open(t, openaisim.Options{PageSize: 100})
			return wrap(p), remote
		},
		Secrets: []string{key}, Errors: openaisim.Errors, RateLimited: openaisim.RateLimited,
	}
}

// TestRightAdapter: a correct adapter passes the kit. The adapters' own tests run it
// in all variants.
func TestRightAdapter(t *testing.T) {
	providertest.Run(t, harness(func(p providers.Provider) providers.Provider { return p }))
}

// wrong is an adapter that is right except for one thing.
type wrong struct {
	providers.Provider
	upload    func(context.Context, providers.Upload) (providers.RemoteFile, error)
	remove    func(context.Context, string) error
	list      func(context.Context, string) iter.Seq2[providers.RemoteFile, error]
	reference func(providers.ReferenceKind, providers.Material) ([]byte, error)
}

func (w wrong) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	if w.upload != nil {
		return w.upload(ctx, u)
	}
	return w.Provider.Upload(ctx, u)
}

func (w wrong) Delete(ctx context.Context, id string) error {
	if w.remove != nil {
		return w.remove(ctx, id)
	}
	return w.Provider.Delete(ctx, id)
}

func (w wrong) List(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	if w.list != nil {
		return w.list(ctx, purpose)
	}
	return w.Provider.List(ctx, purpose)
}

func (w wrong) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	if w.reference != nil {
		return w.reference(kind, m)
	}
	return w.Provider.Reference(kind, m)
}

// mistakes are the mistakes that the kit must find, each with the test that finds it.
var mistakes = map[string]struct {
	found string
	make  func(p providers.Provider) wrong
}{
	"buffers": {"Bounded/LargeUploadIsStreamed", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			source := u.Open
			u.Open = func(ctx context.Context) (io.ReadCloser, error) {
				body, err := source(ctx)
				if err != nil {
					return nil, err
				}
				b, err := io.ReadAll(body)
				return io.NopCloser(bytes.NewReader(b)), errors.Join(err, body.Close())
			}
			return p.Upload(ctx, u)
		}}
	}},
	"leaves the content open": {"Contract/RoundTripOfEachPurpose", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			source := u.Open
			u.Open = func(ctx context.Context) (io.ReadCloser, error) {
				body, err := source(ctx)
				return io.NopCloser(body), err
			}
			return p.Upload(ctx, u)
		}}
	}},
	"reads the content twice": {"Contract/RoundTripOfEachPurpose", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			if body, err := u.Open(ctx); err == nil {
				_ = body.Close()
			}
			return p.Upload(ctx, u)
		}}
	}},
	"completes content that failed": {"Contract/ContentFailsMidway", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			source := u.Open
			u.Open = func(ctx context.Context) (io.ReadCloser, error) {
				body, err := source(ctx)
				if err != nil {
					return nil, err
				}
				return struct {
					io.Reader
					io.Closer
				}{io.LimitReader(io.MultiReader(endingWell{body}, zeros{}), u.Size), body}, nil
			}
			return p.Upload(ctx, u)
		}}
	}},
	"repeats uploads": {"Contract/UploadsOfUnknownOutcome", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (f providers.RemoteFile, err error) {
			if f, err = p.Upload(ctx, u); err != nil {
				f, err = p.Upload(ctx, u)
			}
			return f, err
		}}
	}},
	"believes that nothing was done": {"Contract/UploadsOfUnknownOutcome", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			f, err := p.Upload(ctx, u)
			if e, ok := errors.AsType[*providers.Error](err); ok && e.Kind == providers.KindUnknown {
				e.Kind = providers.KindTransient
			}
			return f, err
		}}
	}},
	"calls all refusals permanent": {"Contract/ErrorTable", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			f, err := p.Upload(ctx, u)
			if e, ok := errors.AsType[*providers.Error](err); ok && e.Status >= 400 {
				e.Kind = providers.KindPermanent
			}
			return f, err
		}}
	}},
	"forgets how long to wait": {"Contract/RateLimits", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			f, err := p.Upload(ctx, u)
			if e, ok := errors.AsType[*providers.Error](err); ok {
				e.RetryAfter = 0
			}
			return f, err
		}}
	}},
	"tells the key": {"Contract/SecretsInAnswers", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			f, err := p.Upload(ctx, u)
			if e, ok := errors.AsType[*providers.Error](err); ok {
				e.Hint = "is " + key + " right?"
			}
			return f, err
		}}
	}},
	"has errors of its own": {"Contract/CancelledBefore", func(p providers.Provider) wrong {
		return wrong{upload: func(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
			if ctx.Err() != nil {
				return providers.RemoteFile{}, ctx.Err()
			}
			return p.Upload(ctx, u)
		}}
	}},
	"deletes what isn't there": {"Contract/DeleteTwice", func(p providers.Provider) wrong {
		return wrong{remove: func(ctx context.Context, id string) error {
			err := p.Delete(ctx, id)
			if providers.KindOf(err) == providers.KindLost {
				return nil
			}
			return err
		}}
	}},
	"loses a file in a list": {"Contract/ListPages", func(p providers.Provider) wrong {
		return wrong{list: func(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
			return func(yield func(providers.RemoteFile, error) bool) {
				n := 0
				for f, err := range p.List(ctx, purpose) {
					if n++; n != 100 && !yield(f, err) {
						return
					}
				}
			}
		}}
	}},
	"lists all at once": {"Contract/ListStopsEarly", func(p providers.Provider) wrong {
		return wrong{list: func(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
			return func(yield func(providers.RemoteFile, error) bool) {
				var files []providers.RemoteFile
				for f, err := range p.List(ctx, purpose) {
					if err != nil {
						yield(f, err)
						return
					}
					files = append(files, f)
				}
				for _, f := range files {
					if !yield(f, nil) {
						return
					}
				}
			}
		}}
	}},
	"ends a list that failed": {"Contract/ListFails", func(p providers.Provider) wrong {
		return wrong{list: func(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
			return func(yield func(providers.RemoteFile, error) bool) {
				for f, err := range p.List(ctx, purpose) {
					if err != nil || !yield(f, nil) {
						return
					}
				}
			}
		}}
	}},
	"pastes references together": {"Contract/References", func(p providers.Provider) wrong {
		return wrong{reference: func(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
			if _, err := p.Reference(kind, m); err != nil {
				return nil, err
			}
			return []byte(`{"file_id":"` + m.FileID + `"}`), nil
		}}
	}},
	"leaves goroutines": {"", func(p providers.Provider) wrong {
		return wrong{remove: func(ctx context.Context, id string) error {
			go func() { <-make(chan struct{}) }()
			return p.Delete(ctx, id)
		}}
	}},
}

// endingWell ends where its source fails.
type endingWell struct{ io.Reader }

func (e endingWell) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

const mistakeVariable = "PROVIDERTEST_MISTAKE"

// TestWrongAdapter is run by TestKitFindsMistakes, in a process of its own, since
// it is to fail.
func TestWrongAdapter(t *testing.T) {
	mistake, ok := mistakes[os.Getenv(mistakeVariable)]
	if !ok {
		t.Skip("not in a process of its own")
	}
	providertest.Run(t, harness(func(p providers.Provider) providers.Provider {
		w := mistake.make(p)
		w.Provider = p
		return w
	}))
}

// TestKitFindsMistakes: a kit that nothing fails proves nothing.
func TestKitFindsMistakes(t *testing.T) {
	for name, mistake := range mistakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			only := "TestWrongAdapter"
			if mistake.found != "" {
				only += "/" + mistake.found
			}
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(only, "/", "$/^")+"$", "-test.v")
			command.Env = append(os.Environ(), mistakeVariable+"="+name)
			out, err := command.CombinedOutput()
			if _, failed := errors.AsType[*exec.ExitError](err); !failed || !bytes.Contains(out, []byte("--- FAIL: "+only)) {
				t.Errorf("the kit's %s passed an adapter that %s (%v):\n%s", only, name, err, out)
			}
		})
	}
}
