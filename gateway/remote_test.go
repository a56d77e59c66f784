package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/providers"
	"casgate/providers/replicator"
)

// remote is a provider in memory, that tests hold, break and look into.
type remote struct {
	about providers.Description

	mu      sync.Mutex
	files   map[string]providers.RemoteFile
	content map[string][]byte
	made    int
	calls   map[providers.Op]int
	hold    chan struct{}          // uploads wait until it is closed; nil: they don't
	fail    map[providers.Op]error // the error of each operation
	stuck   string                 // a file that can't be deleted
	health  providers.Health       // as the guard would tell
}

func newRemote(name string) *remote {
	return &remote{
		about: providers.Description{
			Provider: name, Account: providers.Account(name, "api.example", "key"), Host: "api.example",
			Purposes: []providers.Purpose{
				{Name: "file-extract", Extensions: []string{".txt", ".md", ".pdf"}, MediaTypes: []string{"text/*", "application/pdf"}, MaxSize: 10_000, SettlingSeconds: 1e-9},
				{Name: "image", Extensions: []string{".png"}, MediaTypes: []string{"image/*"}, MaxFiles: 100, LifetimeSeconds: 48 * 3600, SettlingSeconds: 1e-9},
			},
			Limits: providers.Limits{MaxFiles: 1000},
		},
		files: map[string]providers.RemoteFile{}, content: map[string][]byte{},
		calls: map[providers.Op]int{}, fail: map[providers.Op]error{},
		health: providers.Health{Available: true, Breaker: providers.BreakerClosed},
	}
}

// change does something to the remote that its calls must not see half done.
func (r *remote) change(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

// breaks makes an operation fail, or with nil work again.
func (r *remote) breaks(op providers.Op, err error) { r.change(func() { r.fail[op] = err }) }

// holdUploads makes uploads wait until release is called.
func (r *remote) holdUploads(t *testing.T) (release func()) {
	hold := make(chan struct{})
	r.change(func() { r.hold = hold })
	release = sync.OnceFunc(func() {
		r.change(func() { r.hold = nil })
		close(hold)
	})
	castest.Cleanup(t, release)
	return release
}

// count returns how often an operation was called.
func (r *remote) count(op providers.Op) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[op]
}

// ids lists the files there are.
func (r *remote) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.files))
}

func (r *remote) forget(id string) {
	r.change(func() { delete(r.files, id) })
}

func (r *remote) begin(op providers.Op) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[op]++
	return r.fail[op]
}

func (r *remote) Describe() providers.Description { return r.about }

func (r *remote) Health() providers.Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health
}

func (r *remote) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	if err := r.begin(providers.OpUpload); err != nil {
		return providers.RemoteFile{}, err
	}
	r.mu.Lock()
	hold := r.hold
	r.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return providers.RemoteFile{}, r.failed(providers.OpUpload, providers.KindUnknown, providers.CodeConnection, ctx.Err())
		}
	}
	body, err := u.Open(ctx)
	if err != nil {
		return providers.RemoteFile{}, r.failed(providers.OpUpload, providers.KindTransient, "source", err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return providers.RemoteFile{}, r.failed(providers.OpUpload, providers.KindTransient, "source", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	f := providers.RemoteFile{
		ID: fmt.Sprintf("file_%d", r.made), Name: u.Name, Size: int64(len(content)), Purpose: u.Purpose,
		CreatedAt: time.Now(), Status: providers.StatusReady,
	}
	r.files[f.ID], r.content[f.ID] = f, content
	return f, nil
}

func (r *remote) failed(op providers.Op, kind providers.Kind, code string, cause error) error {
	return &providers.Error{Provider: r.about.Provider, Op: op, Kind: kind, Code: code, Cause: cause}
}

func (r *remote) Delete(_ context.Context, id string) error {
	if err := r.begin(providers.OpDelete); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.files[id]; !ok {
		return r.failed(providers.OpDelete, providers.KindLost, "", nil)
	}
	if id == r.stuck {
		return r.failed(providers.OpDelete, providers.KindTransient, "", nil)
	}
	delete(r.files, id)
	return nil
}

func (r *remote) List(_ context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	return func(yield func(providers.RemoteFile, error) bool) {
		if err := r.begin(providers.OpList); err != nil {
			yield(providers.RemoteFile{}, err)
			return
		}
		r.mu.Lock()
		files := slices.Collect(maps.Values(r.files))
		r.mu.Unlock()
		for _, f := range files {
			if (purpose == "" || f.Purpose == purpose) && !yield(f, nil) {
				return
			}
		}
	}
}

func (r *remote) Retrieve(_ context.Context, id string) (providers.RemoteFile, error) {
	if err := r.begin(providers.OpRetrieve); err != nil {
		return providers.RemoteFile{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.files[id]
	if !ok {
		return f, r.failed(providers.OpRetrieve, providers.KindLost, "", nil)
	}
	return f, nil
}

func (r *remote) References(mediaType, _ string) []providers.ReferenceKind {
	byURL := providers.ReferenceKind{Name: "url", Needs: providers.NeedURL, Place: providers.PlacePart, Request: "POST /chat"}
	if strings.HasPrefix(mediaType, "image/") {
		return []providers.ReferenceKind{{Name: "image_url", Needs: providers.NeedCopy, Purpose: "image", Place: providers.PlacePart}, byURL}
	}
	return []providers.ReferenceKind{
		{Name: "text", Needs: providers.NeedText, Purpose: "file-extract", Place: providers.PlaceMessage},
		{Name: "file_id", Needs: providers.NeedCopy, Purpose: "file-extract"}, byURL,
	}
}

func (r *remote) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	return json.Marshal(map[string]string{kind.Name: m.FileID + m.Text + m.URL})
}

// reader is a remote that extracts texts.
type reader struct{ *remote }

func (r reader) TextPurpose() string { return "file-extract" }

func (r reader) Text(_ context.Context, id string) (io.ReadCloser, error) {
	if err := r.begin(providers.OpText); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.files[id]; !ok {
		return nil, r.failed(providers.OpText, providers.KindLost, "", nil)
	}
	return io.NopCloser(strings.NewReader(strings.ToUpper(string(r.content[id])))), nil
}

// startCopier runs a gateway with kimi, which extracts texts, and glm, which
// doesn't; qwen is not configured. change may alter the Replicator's options.
func startCopier(t *testing.T, p *parts, change func(*replicator.Options), gatewayChange func(*gatewayOptions, *cas.Options)) (*server, *remote) {
	t.Helper()
	kimi := newRemote("kimi")
	p.copies = func(o *replicator.Options) {
		glm := newRemote("glm")
		glm.about.Host = "127.0.0.1" // so it can reach the gateway's URLs
		o.Providers = []providers.Guarded{glm, reader{kimi}}
		o.Unconfigured = map[string]string{"qwen": "set CAS_QWEN_API_KEY"}
		if change != nil {
			change(o)
		}
	}
	return start(t, p, gatewayChange), kimi
}

// oneAttempt makes a Replicator give up after one attempt.
func oneAttempt(o *replicator.Options) { o.MaxAttempts = 1 }

// putNamed uploads a text of its own under a name.
func (s *server) putNamed(content, name string) cas.Digest {
	s.t.Helper()
	d, _ := s.putNamedAs(content, name)
	return d
}

// putNamedAs is putNamed, and returns the id of the operation as well.
func (s *server) putNamedAs(content, name string) (d cas.Digest, operation string) {
	s.t.Helper()
	d = cas.DigestOf([]byte(content))
	a := s.do("PUT", s.path(d)+"?name="+name, strings.NewReader(content), "Content-Type", "text/plain")
	if a.StatusCode != 201 {
		s.t.Fatalf("PUT: %d %s", a.StatusCode, a.body)
	}
	return d, a.Header.Get("X-Request-Id")
}

func (s *server) copyPath(d cas.Digest, provider string) string {
	return s.path(d) + "/copies/" + provider
}

// ensure makes a copy, and wants it ready.
func (s *server) ensure(d cas.Digest, provider string) api.Copy {
	s.t.Helper()
	a := s.do("PUT", s.copyPath(d, provider), nil)
	if a.StatusCode != 200 {
		s.t.Fatalf("PUT of a copy: %d %s", a.StatusCode, a.body)
	}
	c := decode[api.Copy](s.t, a)
	if c.State != "ready" || c.ProviderFileID == "" || c.Created == nil || c.Digest != d || c.Provider != provider {
		s.t.Fatalf("PUT of a copy: %s", a.body)
	}
	return c
}

// operationOf checks a 202 and returns its operation's path.
func (s *server) operationOf(a answer) string {
	s.t.Helper()
	path, ok := strings.CutPrefix(a.Header.Get("Location"), s.url)
	if a.StatusCode != 202 || !ok || !strings.HasPrefix(path, "/v1/operations/") || a.Header.Get("Retry-After") == "" || a.Header.Get("Cache-Control") != "no-store" {
		s.t.Fatalf("want a 202 with its operation, got %d %v %s", a.StatusCode, a.Header, a.body)
	}
	return path
}

// waitOperation polls an operation until it has ended.
func (s *server) waitOperation(path string) api.Operation {
	s.t.Helper()
	var o api.Operation
	eventually(s.t, "the operation to end", func() bool {
		a := s.do("GET", path, nil)
		if a.StatusCode != 200 {
			s.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
		}
		o = decode[api.Operation](s.t, a)
		ended := o.Status == api.OperationSucceeded || o.Status == api.OperationFailed
		if ended == (a.Header.Get("Retry-After") != "") {
			s.t.Fatalf("%s, Retry-After %q", o.Status, a.Header.Get("Retry-After"))
		}
		return ended
	})
	return o
}
