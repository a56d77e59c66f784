package guard_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"casgate/providers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a provider without optional abilities. answer decides its results.
type fake struct {
	about providers.Description
	files []providers.RemoteFile
	// answer returns the result of the n-th call, counted from 1. nil: all calls
	// succeed.
	answer func(ctx context.Context, op providers.Op, n int) error
	// mid fails a list after its files.
	mid error

	mu      sync.Mutex
	calls   []providers.Op
	running int
	peak    int // calls at once
}

func newFake(answer func(ctx context.Context, op providers.Op, n int) error) *fake {
	return &fake{
		about: providers.Description{
			Provider: "fake", Account: "0123@fake.test",
			Purposes: []providers.Purpose{{Name: "hidden", Unlisted: true}, {Name: "seen"}},
		},
		files:  []providers.RemoteFile{{ID: "f1"}, {ID: "f2"}, {ID: "f3"}},
		answer: answer,
	}
}

// always makes a fake of which every call ends so.
func always(err error) *fake {
	return newFake(func(context.Context, providers.Op, int) error { return err })
}

// inOrder makes a fake whose calls end so, and those after them well.
func inOrder(errs ...error) *fake {
	return newFake(func(_ context.Context, _ providers.Op, n int) error {
		if n <= len(errs) {
			return errs[n-1]
		}
		return nil
	})
}

// enter counts a call; leave is to be called when it is over.
func (f *fake) enter(op providers.Op) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, op)
	f.running++
	f.peak = max(f.peak, f.running)
	return len(f.calls)
}

func (f *fake) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
}

func (f *fake) end(ctx context.Context, op providers.Op, n int) error {
	if f.answer == nil {
		return nil
	}
	return f.answer(ctx, op, n)
}

// count returns how many calls there were.
func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

func (f *fake) Describe() providers.Description { return f.about }

func (f *fake) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	n := f.enter(providers.OpUpload)
	defer f.leave()
	if u.Open != nil {
		body, err := u.Open(ctx)
		if err != nil {
			return providers.RemoteFile{}, &providers.Error{Provider: "fake", Op: providers.OpUpload, Kind: providers.KindTransient, Code: providers.CodeConnection, Cause: err}
		}
		defer body.Close()
		if _, err := io.Copy(io.Discard, body); err != nil {
			return providers.RemoteFile{}, &providers.Error{Provider: "fake", Op: providers.OpUpload, Kind: providers.KindTransient, Code: providers.CodeConnection, Cause: err}
		}
	}
	if err := f.end(ctx, providers.OpUpload, n); err != nil {
		return providers.RemoteFile{}, err
	}
	return providers.RemoteFile{ID: "new", Size: u.Size}, nil
}

func (f *fake) Delete(ctx context.Context, id string) error {
	n := f.enter(providers.OpDelete)
	defer f.leave()
	return f.end(ctx, providers.OpDelete, n)
}

func (f *fake) List(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	return func(yield func(providers.RemoteFile, error) bool) {
		n := f.enter(providers.OpList)
		defer f.leave()
		if err := f.end(ctx, providers.OpList, n); err != nil {
			yield(providers.RemoteFile{}, err)
			return
		}
		for _, file := range f.files {
			if !yield(file, nil) {
				return
			}
		}
		if f.mid != nil {
			yield(providers.RemoteFile{}, f.mid)
		}
	}
}

func (f *fake) References(string, string) []providers.ReferenceKind {
	return []providers.ReferenceKind{{Name: "file_id"}}
}

func (f *fake) Reference(_ providers.ReferenceKind, m providers.Material) ([]byte, error) {
	return []byte(`"` + m.FileID + `"`), nil
}

// able is a fake with all abilities.
type able struct {
	*fake
	// broken is the error at the end of its streams; nil: none.
	broken error
}

func (f able) Retrieve(ctx context.Context, id string) (providers.RemoteFile, error) {
	n := f.enter(providers.OpRetrieve)
	defer f.leave()
	return providers.RemoteFile{ID: id}, f.end(ctx, providers.OpRetrieve, n)
}

func (f able) Poll(ctx context.Context, id string) (providers.RemoteFile, error) {
	n := f.enter(providers.OpPoll)
	defer f.leave()
	return providers.RemoteFile{ID: id}, f.end(ctx, providers.OpPoll, n)
}

func (f able) TextPurpose() string { return "seen" }

func (f able) Text(ctx context.Context, id string) (io.ReadCloser, error) {
	return f.open(ctx, providers.OpText, "text of "+id)
}

func (f able) Download(ctx context.Context, id string) (io.ReadCloser, error) {
	return f.open(ctx, providers.OpDownload, "bytes of "+id)
}

func (f able) open(ctx context.Context, op providers.Op, content string) (io.ReadCloser, error) {
	n := f.enter(op)
	if err := f.end(ctx, op, n); err != nil {
		f.leave()
		return nil, err
	}
	var r io.Reader = strings.NewReader(content)
	if f.broken != nil {
		r = io.MultiReader(r, failing{f.broken})
	}
	return &body{Reader: r, fake: f.fake}, nil
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// body is a stream of a fake's; the call is over when it is closed.
type body struct {
	io.Reader
	fake   *fake
	closed bool
}

func (b *body) Close() error {
	if b.closed {
		return errors.New("closed twice")
	}
	b.closed = true
	b.fake.leave()
	return nil
}

// fail returns an error as adapters give it.
func fail(kind providers.Kind, status int, code string) *providers.Error {
	return &providers.Error{Provider: "fake", Kind: kind, Status: status, Code: code, Message: "as told"}
}

var (
	err503     = fail(providers.KindTransient, 503, "")
	errUnknown = fail(providers.KindUnknown, 504, "")
	errAuth    = fail(providers.KindAuth, 401, "")
)

// contains is an upload of that text.
func contains(text string) providers.Upload {
	return providers.Upload{
		Purpose: "seen", Name: "a.txt", Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

// call makes a call of any kind, to its end.
func call(ctx context.Context, p providers.Provider, op providers.Op) error {
	read := func(r io.ReadCloser, err error) error {
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		return err
	}
	switch op {
	case providers.OpUpload:
		_, err := p.Upload(ctx, contains("hello"))
		return err
	case providers.OpDelete:
		return p.Delete(ctx, "f1")
	case providers.OpList:
		for _, err := range p.List(ctx, "seen") {
			if err != nil {
				return err
			}
		}
		return nil
	case providers.OpRetrieve:
		_, err := p.(providers.Retriever).Retrieve(ctx, "f1")
		return err
	case providers.OpPoll:
		_, err := p.(providers.Poller).Poll(ctx, "f1")
		return err
	case providers.OpText:
		return read(p.(providers.TextExtractor).Text(ctx, "f1"))
	case providers.OpDownload:
		return read(p.(providers.Downloader).Download(ctx, "f1"))
	}
	panic("no such call: " + op)
}

var allOps = []providers.Op{
	providers.OpUpload, providers.OpDelete, providers.OpList, providers.OpRetrieve,
	providers.OpPoll, providers.OpText, providers.OpDownload,
}

// errorOf returns err's *providers.Error, or ends the test.
func errorOf(t *testing.T, err error) *providers.Error {
	t.Helper()
	e, ok := errors.AsType[*providers.Error](err)
	if !ok {
		t.Fatalf("got the error %v (%T), which is no *providers.Error", err, err)
	}
	return e
}
