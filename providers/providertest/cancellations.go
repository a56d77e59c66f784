package providertest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

func testCancelledBefore(t *testing.T, r *run) {
	p := r.listed()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := fitting(extensionOf(p))
	_, err := r.Upload(ctx, c.upload(p, "a"+extensionOf(p)))
	r.wantCancelled(t, err, providers.OpUpload)
	c.wantDone(t)
	if r.remote.Uploads() > 0 {
		t.Error("something was uploaded")
	}
	for op, call := range r.calls(t) {
		r.wantCancelled(t, call(ctx), op)
	}
}

// wantCancelled checks the error of a call that its caller cancelled.
func (r *run) wantCancelled(t *testing.T, err error, op providers.Op) {
	t.Helper()
	r.wantError(t, err, op, providers.KindUnknown, providers.KindTransient)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%s: %v doesn't wrap context.Canceled", op, err)
	}
}

// calls returns the calls but Upload, each about a file that it is made for.
func (r *run) calls(t *testing.T) map[providers.Op]func(context.Context) error {
	t.Helper()
	p := r.listed()
	id := r.mustUpload(t, p).ID
	calls := map[providers.Op]func(context.Context) error{
		providers.OpDelete: func(ctx context.Context) error { return r.Delete(ctx, id) },
		providers.OpList: func(ctx context.Context) error {
			for _, err := range r.List(ctx, p.Name) {
				return err
			}
			return nil
		},
	}
	if a, ok := providers.Ability[providers.Retriever](r.Provider); ok {
		calls[providers.OpRetrieve] = func(ctx context.Context) error { _, err := a.Retrieve(ctx, id); return err }
	}
	if a, ok := providers.Ability[providers.TextExtractor](r.Provider); ok {
		document, err := r.description.Purpose(a.TextPurpose(), "")
		if err != nil {
			t.Fatal(err)
		}
		id := r.mustUpload(t, document).ID
		calls[providers.OpText] = func(ctx context.Context) error { return consume(a.Text(ctx, id)) }
	}
	if a, ok := providers.Ability[providers.Downloader](r.Provider); ok {
		if r.ReturnsGenerated {
			generated := r.plantGenerated("made by the provider").ID
			calls[providers.OpDownload] = func(ctx context.Context) error { return consume(a.Download(ctx, generated)) }
			return calls
		}
		for _, p := range r.description.Purposes {
			id := r.mustUpload(t, p).ID
			download := func(ctx context.Context) error { return consume(a.Download(ctx, id)) }
			if download(t.Context()) == nil { // files of some purposes can't be downloaded
				calls[providers.OpDownload] = download
				break
			}
		}
	}
	return calls
}

// consume reads a body to its end.
func consume(body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return errors.Join(err, body.Close())
}

// requestOf returns the simulator's op for a call.
func requestOf(op providers.Op) providers.Op {
	switch op {
	case providers.OpText:
		return providers.OpDownload
	case providers.OpPoll:
		return providers.OpRetrieve
	}
	return op
}

// testCancelledUpload cancels an upload at each of its points.
func testCancelledUpload(t *testing.T, r *run) {
	for _, at := range []simulator.Point{simulator.HeadersRead, simulator.BodyRead, simulator.Stored} {
		// A simulator of its own: a cancelled call goes on there.
		r := r.Harness.open(t)
		p := r.listed()
		gate := r.remote.Hold(at)
		t.Cleanup(gate.Release)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			select {
			case <-gate.Arrived():
				cancel()
			case <-ctx.Done(): // the upload didn't come so far
			}
		}()
		c := fitting(extensionOf(p))
		_, err := r.Upload(ctx, c.upload(p, string(at)+extensionOf(p)))
		cancel()
		r.wantCancelled(t, err, providers.OpUpload)
		if at != simulator.HeadersRead {
			// The provider has all of it. Before that the adapter may know better.
			r.wantError(t, err, providers.OpUpload, providers.KindUnknown)
		}
		c.wantDone(t)
		gate.Release()
	}
}

// testCancelledContent cancels an upload that waits for its content.
func testCancelledContent(t *testing.T, r *run) {
	p := r.listed()
	ctx, cancel := context.WithCancel(t.Context())
	c := &content{size: 1000}
	c.read = func() io.Reader {
		return io.MultiReader(strings.NewReader(strings.Repeat("x", 500)), readerFunc(func([]byte) (int, error) {
			cancel()
			<-ctx.Done()
			return 0, ctx.Err()
		}))
	}
	_, err := r.Upload(ctx, c.upload(p, "a"+extensionOf(p)))
	r.wantCancelled(t, err, providers.OpUpload)
	c.wantDone(t)
	if files := r.remote.Files(); len(files) > 0 {
		t.Errorf("there is %+v", files)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func testCancelledCalls(t *testing.T, r *run) {
	for op, call := range r.calls(t) {
		struck := make(chan struct{}, 1)
		r.remote.Fail(simulator.Fault{Op: requestOf(op), Times: 1, Kind: simulator.Stall, Struck: struck})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			select {
			case <-struck:
				cancel()
			case <-ctx.Done(): // the call didn't come so far
			}
		}()
		err := call(ctx)
		cancel()
		r.wantCancelled(t, err, op)
	}
}

// testTimeOuts: the callers' deadlines pass while the provider doesn't answer.
func testTimeOuts(t *testing.T, r *run) {
	p := r.listed()
	calls := r.calls(t)
	calls[providers.OpUpload] = func(ctx context.Context) error {
		c := fitting(extensionOf(p))
		defer c.wantDone(t)
		_, err := r.Upload(ctx, c.upload(p, "slow"+extensionOf(p)))
		return err
	}
	for op, call := range calls {
		struck := make(chan struct{}, 1)
		r.remote.Fail(simulator.Fault{Op: requestOf(op), Times: 1, Kind: simulator.Stall, Struck: struck})
		ctx := newDeadline(t.Context())
		go func() {
			select {
			case <-struck:
				ctx.pass()
			case <-ctx.Done(): // the call didn't come so far
			}
		}()
		err := call(ctx)
		ctx.pass()
		kinds := []providers.Kind{providers.KindUnknown, providers.KindTransient}
		if op == providers.OpUpload {
			kinds = kinds[:1]
		}
		if e := r.wantError(t, err, op, kinds...); e.Code != providers.CodeTimeout {
			t.Errorf("%s: code %q; want %q", op, e.Code, providers.CodeTimeout)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v doesn't wrap context.DeadlineExceeded", op, err)
		}
	}
}

// deadline is a context whose deadline passes when the test says so.
type deadline struct {
	context.Context
	done chan struct{}
	once sync.Once
}

func newDeadline(parent context.Context) *deadline {
	return &deadline{Context: parent, done: make(chan struct{})}
}

func (d *deadline) pass() { d.once.Do(func() { close(d.done) }) }

func (d *deadline) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }

func (d *deadline) Done() <-chan struct{} { return d.done }

func (d *deadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
