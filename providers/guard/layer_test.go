package guard_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"casgate/providers"
	"casgate/providers/guard"
)

// decorators are all ways to decorate, each alone and all together. Those with
// limits have room for one call at a time.
var decorators = map[string]func(p providers.Provider) providers.Provider{
	"Limit": func(p providers.Provider) providers.Provider {
		return guard.Limit(p, guard.LimitOptions{Concurrency: 1})
	},
	"Retry":   func(p providers.Provider) providers.Provider { return guard.Retry(p, guard.RetryOptions{}) },
	"Break":   func(p providers.Provider) providers.Provider { return guard.Break(p, guard.BreakOptions{}) },
	"Observe": func(p providers.Provider) providers.Provider { return guard.Observe(p, guard.ObserveOptions{}) },
	"Watch": func(p providers.Provider) providers.Provider {
		return guard.Watch(guard.Break(p, guard.BreakOptions{}), guard.WatchOptions{})
	},
	"New": func(p providers.Provider) providers.Provider {
		return guard.New(p, guard.Options{Limit: guard.LimitOptions{Concurrency: 1}})
	},
}

func TestAbilitiesArePreservedAndNotInvented(t *testing.T) {
	t.Parallel()
	for name, decorate := range decorators {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := decorate(newFake(nil))
			if _, ok := providers.Ability[providers.Retriever](plain); ok {
				t.Error("a plain provider became a Retriever")
			}
			if _, ok := providers.Ability[providers.Poller](plain); ok {
				t.Error("a plain provider became a Poller")
			}
			if _, ok := providers.Ability[providers.TextExtractor](plain); ok {
				t.Error("a plain provider became a TextExtractor")
			}
			if _, ok := providers.Ability[providers.Downloader](plain); ok {
				t.Error("a plain provider became a Downloader")
			}
			for _, op := range []providers.Op{providers.OpRetrieve, providers.OpPoll, providers.OpText, providers.OpDownload} {
				if err := call(t.Context(), plain, op); providers.KindOf(err) != providers.KindPermanent {
					t.Errorf("%s of a plain provider: %v, want an error of KindPermanent", op, err)
				}
			}
			if got := plain.(providers.TextExtractor).TextPurpose(); got != "" {
				t.Errorf("a plain provider has the text purpose %q", got)
			}

			inner := able{fake: newFake(nil)}
			rich := decorate(inner)
			retriever, ok := providers.Ability[providers.Retriever](rich)
			if !ok {
				t.Fatal("the Retriever got lost")
			}
			if file, err := retriever.Retrieve(t.Context(), "f2"); err != nil || file.ID != "f2" {
				t.Errorf("Retrieve: %v, %v", file, err)
			}
			poller, ok := providers.Ability[providers.Poller](rich)
			if !ok {
				t.Fatal("the Poller got lost")
			}
			if file, err := poller.Poll(t.Context(), "f3"); err != nil || file.ID != "f3" {
				t.Errorf("Poll: %v, %v", file, err)
			}
			extractor, ok := providers.Ability[providers.TextExtractor](rich)
			if !ok || extractor.TextPurpose() != "seen" {
				t.Fatal("the TextExtractor got lost")
			}
			expect(t, "text of f1")(extractor.Text(t.Context(), "f1"))
			downloader, ok := providers.Ability[providers.Downloader](rich)
			if !ok {
				t.Fatal("the Downloader got lost")
			}
			expect(t, "bytes of f1")(downloader.Download(t.Context(), "f1"))

			if file, err := rich.Upload(t.Context(), contains("hello")); err != nil || file.ID != "new" || file.Size != 5 {
				t.Errorf("Upload: %v, %v", file, err)
			}
			var ids []string
			for file, err := range rich.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, file.ID)
			}
			if len(ids) != 3 || ids[0] != "f1" || ids[2] != "f3" {
				t.Errorf("List: %v", ids)
			}
			if rich.Describe().Account != "0123@fake.test" || len(rich.References("", "")) != 1 {
				t.Error("the description or the references got lost")
			}
			if got, err := rich.Reference(providers.ReferenceKind{}, providers.Material{FileID: "f1"}); err != nil || string(got) != `"f1"` {
				t.Errorf("Reference: %s, %v", got, err)
			}
			if inner.running != 0 {
				t.Errorf("%d calls never ended", inner.running)
			}
		})
	}
}

// expect returns a check of a stream's bytes.
func expect(t *testing.T, want string) func(io.ReadCloser, error) {
	return func(r io.ReadCloser, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != want {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// However a call ends, the account's only place is free for the next one.
func TestPlacesAreReleased(t *testing.T) {
	t.Parallel()
	ends := map[string]func(t *testing.T, p providers.Provider, inner *fake){
		"success": func(t *testing.T, p providers.Provider, _ *fake) {
			for _, op := range allOps {
				if err := call(t.Context(), p, op); err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
		},
		"errors": func(t *testing.T, p providers.Provider, inner *fake) {
			inner.answer = func(context.Context, providers.Op, int) error { return fail(providers.KindPermanent, 400, "") }
			for _, op := range allOps {
				if err := call(t.Context(), p, op); providers.KindOf(err) != providers.KindPermanent {
					t.Errorf("%s: %v", op, err)
				}
			}
		},
		"a list broken off": func(_ *testing.T, p providers.Provider, inner *fake) {
			for range p.List(context.Background(), "") {
				if inner.count() > 0 {
					break
				}
			}
		},
		"a list that fails midway": func(t *testing.T, p providers.Provider, inner *fake) {
			inner.mid = fail(providers.KindTransient, 502, "")
			if err := call(t.Context(), p, providers.OpList); err == nil {
				t.Error("the list did not fail")
			}
		},
		"streams closed early, and twice": func(t *testing.T, p providers.Provider, _ *fake) {
			r, err := p.(providers.TextExtractor).Text(t.Context(), "f1")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			// Each decorator that holds something closes the inner stream only once.
			_ = r.Close()
		},
		"panics": func(t *testing.T, p providers.Provider, inner *fake) {
			inner.answer = func(context.Context, providers.Op, int) error { panic("as told") }
			for _, op := range allOps {
				func() {
					defer func() {
						if recover() != "as told" {
							t.Errorf("%s: the panic got lost", op)
						}
					}()
					_ = call(t.Context(), p, op)
				}()
			}
			// A panicked stream is never closed, so that the fake misses its end.
			inner.running = 0
		},
		"a panic in a loop over a list": func(t *testing.T, p providers.Provider, _ *fake) {
			defer func() {
				if recover() != "in the loop" {
					t.Error("the panic got lost")
				}
			}()
			for range p.List(t.Context(), "") {
				panic("in the loop")
			}
		},
	}
	for name, decorate := range decorators {
		for end, provoke := range ends {
			t.Run(name+"/"+end, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					inner := able{fake: newFake(nil)}
					p := decorate(inner)
					provoke(t, p, inner.fake)
					inner.answer = nil
					inner.mid = nil
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					for _, op := range allOps {
						if err := call(ctx, p, op); err != nil {
							t.Errorf("%s afterwards: %v", op, err)
						}
					}
					if inner.running != 0 {
						t.Errorf("%d calls never ended", inner.running)
					}
				})
			})
		}
	}
}

// The account's only place is taken until a stream is closed, and no longer.
func TestStreamHoldsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := able{fake: newFake(nil)}
		p := guard.New(inner, guard.Options{Limit: guard.LimitOptions{Concurrency: 1}})
		r, err := p.Text(t.Context(), "f1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		deleted := make(chan error, 1)
		go func() { deleted <- p.Delete(t.Context(), "f1") }()
		synctest.Wait()
		if inner.count() != 1 {
			t.Fatal("a call was made beside an open stream")
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		if inner.peak != 1 {
			t.Errorf("%d calls at once", inner.peak)
		}
	})
}

// The errors of streams and lists come through as they are.
func TestStreamErrorsComeThrough(t *testing.T) {
	t.Parallel()
	broken := errors.New("the wire was cut")
	p := guard.New(able{fake: newFake(nil), broken: broken}, guard.Options{})
	r, err := p.Download(t.Context(), "f1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); !errors.Is(err, broken) || string(got) != "bytes of f1" {
		t.Errorf("read %q, %v", got, err)
	}
}
