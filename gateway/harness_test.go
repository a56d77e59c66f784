package gateway_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
	"casgate/cas/journal"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/gateway"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/index"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/index/sqliteindex/sqlitetest"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// parts is a set-up's storage, which any number of gateways share.
type parts struct {
	objects cas.ObjectStore
	index   testIndex
	// shared says that the index is one that several processes may use.
	shared bool
	// outages cut the gateway off from its servers; nil where there are none.
	storeOutage, indexOutage *outage
	// damage changes one of the stored bytes of a blob, replace changes them all, and
	// remove takes them away. All act behind the gateway's back.
	damage  func(t *testing.T, d cas.Digest)
	replace func(t *testing.T, d cas.Digest, b []byte)
	remove  func(t *testing.T, d cas.Digest)
	// sources are where the bytes of imported files lie.
	sources []cas.Source
	// adopt is called with each imported file whose bytes were stored. Optional.
	adopt func(context.Context, cas.File) error
	// copies changes the options of the gateways' Replicators; nil: they have none.
	copies func(*replicator.Options)
	// journal has the options of the gateways' journals.
	journal journal.WriterOptions
}

type testIndex interface {
	cas.Index
	cas.FileIndex
	cas.TextIndex
	gateway.AccessIndex
	ledger.Store
	journal.Store
}

// overlay is an index whose blobs come from another index.
type overlay struct {
	gateway.AccessIndex
	cas.FileIndex
	ledgerStore
	journal.Store
	cas.Index
	cas.TextIndex
}

// ledgerStore lets overlay embed two interfaces called Store.
type ledgerStore = ledger.Store

// over puts blobs in front of x.
func over(x testIndex, blobs cas.Index) testIndex { return overlay{x, x, x, x, blobs, x} }

// setups runs a test on each way to run the gateway. Between two edits the embedded one
// does: the kits of Postgres and of the bucket run then, too.
func setups(t *testing.T, test func(t *testing.T, p *parts)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embedded(t, t.TempDir()))
	})
	if castest.Thorough(1, 0) == 1 {
		t.Run("served", func(t *testing.T) {
			t.Parallel()
			test(t, served(t))
		})
	}
	// Another store shows no other race.
	if castest.Thorough(1, 0) == 1 && !isRace {
		t.Run("served, by another store", func(t *testing.T) {
			t.Parallel()
			test(t, servedBy(t, s3test.NewSecondBucket(t)))
		})
	}
}

// volume is castest.Thorough, with the smaller number under the race detector: more of the
// same shows no other race.
func volume(thorough, quick int) int {
	if isRace {
		return quick
	}
	return castest.Thorough(thorough, quick)
}

func embedded(t *testing.T, dir string) *parts {
	objects, err := folderstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, func() { objects.Close() })
	x := sqlitetest.Open(t, filepath.Join(dir, "index.sqlite"))
	file := func(d cas.Digest) string {
		return filepath.Join(dir, filepath.FromSlash(cas.ObjectRef{Digest: d}.Key()))
	}
	replace := func(t *testing.T, d cas.Digest, b []byte) {
		err := os.Chmod(file(d), 0o644)
		if err == nil {
			err = os.WriteFile(file(d), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return &parts{
		objects: objects,
		index:   x,
		replace: replace,
		damage: func(t *testing.T, d cas.Digest) {
			b, err := os.ReadFile(file(d))
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			replace(t, d, b)
		},
		remove: func(t *testing.T, d cas.Digest) {
			if err := os.Remove(file(d)); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func served(t *testing.T) *parts { return servedBy(t, s3test.NewBucket(t)) }

// servedBy is served by the store of a bucket.
func servedBy(t *testing.T, o s3store.Options) *parts {
	behind := s3test.Client(t, o)
	storeOutage := newOutage(t, hostOf(t, o.Endpoint))
	o.Endpoint = "http://" + storeOutage.addr()
	objects, err := s3store.New(o)
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, objects.Close)

	databaseURL := pgtest.New(t)
	indexOutage := newOutage(t, hostOf(t, databaseURL))
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = indexOutage.addr()
	x, err := pgindex.Open(t.Context(), pgindex.Options{URL: u.String(), CallTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, x.Close)
	replace := func(t *testing.T, d cas.Digest, b []byte) {
		if _, err := behind.PutObject(t.Context(), o.Bucket, cas.ObjectRef{Digest: d}.Key(), bytes.NewReader(b), int64(len(b)), putOptions); err != nil {
			t.Fatal(err)
		}
	}
	return &parts{
		objects: objects, index: x, shared: true, replace: replace,
		storeOutage: storeOutage, indexOutage: indexOutage,
		damage: func(t *testing.T, d cas.Digest) {
			ref := cas.ObjectRef{Digest: d}
			object, err := behind.GetObject(t.Context(), o.Bucket, ref.Key(), getOptions)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(object)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			replace(t, d, b)
		},
		remove: func(t *testing.T, d cas.Digest) {
			if err := behind.RemoveObject(t.Context(), o.Bucket, cas.ObjectRef{Digest: d}.Key(), removeOptions); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func hostOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// outage is a TCP relay that can be cut: connections through it break, and new
// ones are refused, as if the server behind it had died.
type outage struct {
	ln     net.Listener
	mu     sync.Mutex
	down   bool
	conns  map[net.Conn]bool
	target string
}

func newOutage(t *testing.T, target string) *outage {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &outage{ln: ln, target: target, conns: map[net.Conn]bool{}}
	go o.accept()
	castest.Cleanup(t, func() { ln.Close(); o.cut() })
	return o
}

func (o *outage) addr() string { return o.ln.Addr().String() }

func (o *outage) accept() {
	for {
		in, err := o.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", o.target)
		if err != nil || !o.add(in, out) {
			in.Close()
			if out != nil {
				out.Close()
			}
			continue
		}
		go o.relay(in, out)
		go o.relay(out, in)
	}
}

func (o *outage) relay(dst, src net.Conn) {
	_, _ = io.Copy(dst, src) // either end closing ends both
	dst.Close()
	src.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, dst)
	delete(o.conns, src)
}

func (o *outage) add(conns ...net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return false
	}
	for _, c := range conns {
		o.conns[c] = true
	}
	return true
}

// cut begins the outage, and end ends it.
func (o *outage) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = true
	for c := range o.conns {
		c.Close()
	}
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = false
}

// server is a gateway that answers on a real socket, and an admin's token.
type server struct {
	t     *testing.T
	url   string
	token string
	parts *parts
	store *cas.Store
	files *cas.Files
	// copies is nil where the parts have none.
	copies *replicator.Replicator
	logs   *syncBuffer
	stop   func() // begins the graceful stop and waits for its end
	cache  *index.Cached
	// gateway is there from before anything runs.
	gateway *gateway.Gateway
	journal *journal.Writer
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// These caches are enough for a test; the defaults, for each gateway of so many tests,
// would take gigabytes.
const (
	cacheEntries = 10_000
	hotBytes     = 16 << 20
)

// start runs a gateway on the parts until the test ends. change may alter its
// options.
func start(t *testing.T, p *parts, change func(*gateway.Options, *cas.Options)) *server {
	t.Helper()
	s := &server{t: t, parts: p, logs: &syncBuffer{}}
	log := zerolog.New(s.logs)
	cached, err := index.NewCached(p.index, index.CacheOptions{Entries: cacheEntries, Shared: p.shared})
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, cached.Close)
	s.cache = cached
	listeners := []index.Listener{cached.Listener()}
	startJournal(t, p, s)
	ctx, cancel := context.WithCancel(context.Background())

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + ln.Addr().String()
	o := gateway.Options{Access: p.index, Journal: s.journal, Records: p.index, Texts: cas.Texts{Index: p.index, Blobs: cached}, PublicURL: s.url, Log: log}
	so := cas.Options{SpoolDir: t.TempDir(), HotBytes: hotBytes, Remembered: cacheEntries, VerifiedFor: time.Hour, Log: log}
	if change != nil {
		change(&o, &so)
	}
	if s.store, err = cas.NewStore(p.objects, cached, so); err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, s.store.Close)
	known, err := index.NewCachedFiles(p.index, index.CacheOptions{Entries: cacheEntries, Shared: p.shared})
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, known.Close)
	listeners = append(listeners, known.Listener())
	s.files = cas.NewFiles(cas.FilesOptions{
		Store: s.store, Index: known, Sources: p.sources, Adopt: p.adopt, Log: log,
		TookIn:  func(f cas.File, began time.Time, err error) { s.gateway.FileTakenIn(f, began, err) },
		Expired: func(f cas.File) { s.gateway.FileExpired(f) },
	})
	o.Store, o.Files = s.store, s.files
	if p.copies != nil {
		var listener index.Listener
		o.Copies, listener = openCopies(t, p, s, log)
		s.copies = o.Copies
		listeners = append(listeners, listener)
	}
	if feed, ok := p.index.(index.Feed); ok {
		watched := make(chan struct{})
		go func() { defer close(watched); _ = feed.Listen(ctx, index.FanOut(listeners...)) }() // ends with ctx's error
		castest.Cleanup(t, func() { cancel(); <-watched })
	}
	if s.gateway, err = gateway.New(o); err != nil {
		t.Fatal(err)
	}
	if p.copies != nil {
		background(t, o.Copies.Run)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.gateway.Serve(ctx, ln) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	castest.Cleanup(t, s.stop)
	s.token = s.newToken(access.ScopeAdmin)
	return s
}

// background runs something until the test ends.
func background(t testing.TB, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); _ = run(ctx) }() // ends with ctx's error
	castest.Cleanup(t, func() { cancel(); <-ran })
}

// startJournal runs a journal until the test has ended all else.
func startJournal(t *testing.T, p *parts, s *server) {
	o := p.journal
	o.Log = zerolog.New(s.logs)
	o.Gather = cmp.Or(o.Gather, -1) // most tests expect a record of each operation
	s.journal = journal.NewWriter(p.index, o)
	background(t, s.journal.Run)
}

// openCopies makes a Replicator on the parts, which is closed when the test ends.
func openCopies(t *testing.T, p *parts, s *server, log zerolog.Logger) (*replicator.Replicator, index.Listener) {
	t.Helper()
	ledger, err := index.NewCachedLedger(p.index, index.LedgerOptions{CacheOptions: index.CacheOptions{Entries: cacheEntries, Shared: p.shared}})
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, ledger.Close)
	o := replicator.Options{Blobs: s.store, Ledger: ledger, PollInterval: 50 * time.Millisecond, Log: log}
	o.SignURL = func(ctx context.Context, r replicator.URLRequest) (string, error) {
		return s.gateway.SignURL(ctx, r)
	}
	o.OnEvent = func(e replicator.Event) { s.gateway.CopyEvent(e) }
	p.copies(&o)
	replicator, err := replicator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, replicator.Close)
	return replicator, index.FanOut(ledger.Listener(), index.Listener{CopiesChanged: replicator.Changed, Gap: replicator.ChangedAll})
}

func (s *server) newToken(scopes ...access.Scope) string {
	s.t.Helper()
	token, text := access.NewToken("test", scopes, time.Time{})
	if _, err := s.parts.index.CreateToken(s.t.Context(), token); err != nil {
		s.t.Fatal(err)
	}
	return text
}

// answer is a response, read whole.
type answer struct {
	*http.Response
	body []byte
}

// do sends a request with the admin's token, unless the headers have their own
// Authorization ("-" for none), and reads the answer.
func (s *server) do(method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	a, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (s *server) try(method, path string, body io.Reader, headers ...string) (answer, error) {
	u := path
	if path[0] == '/' {
		u = s.url + path
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, u, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "-" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	return s.send(req)
}

// send sends a request as it is, and reads the answer.
func (s *server) send(req *http.Request) (answer, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	a := answer{resp, b}
	if err == nil {
		checkContract(s.t, a)
	}
	return a, err
}

func bodyOf(a answer) io.ReadCloser { return io.NopCloser(bytes.NewReader(a.body)) }

func (s *server) path(d cas.Digest) string { return "/v1/blobs/" + d.String() }

// put uploads b under its digest, and wants it taken.
func (s *server) put(b []byte) cas.Digest {
	s.t.Helper()
	d := cas.DigestOf(b)
	a := s.do("PUT", s.path(d), bytes.NewReader(b))
	if a.StatusCode != 201 && a.StatusCode != 200 {
		s.t.Fatalf("PUT: %d %s", a.StatusCode, a.body)
	}
	return d
}

// wantBlob reads the blob back whole.
func (s *server) wantBlob(b []byte) {
	s.t.Helper()
	a := s.do("GET", s.path(cas.DigestOf(b)), nil)
	if a.StatusCode != 200 || !bytes.Equal(a.body, b) {
		s.t.Fatalf("GET: %d, %d bytes of %d", a.StatusCode, len(a.body), len(b))
	}
}

// wantProblem checks an answer that is an error.
func (a answer) wantProblem(t *testing.T, status int, code problem.Code) problem.Details {
	t.Helper()
	var p problem.Details
	if a.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(a.body, &p) != nil {
		t.Fatalf("want a problem %d %s, got %d %s: %.300s", status, code, a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
	if a.StatusCode != status || p.Status != status || p.Code != code {
		t.Fatalf("want %d %s, got %d %s", status, code, a.StatusCode, a.body)
	}
	if p.Type == "" || p.Title == "" || p.Detail == "" || p.OperationID == "" || p.OperationID != a.Header.Get("X-Request-Id") {
		t.Errorf("the problem lacks something: %s", a.body)
	}
	var sdk api.ErrorAnswer
	if json.Unmarshal(a.body, &sdk) != nil || sdk.Error.Code != code || sdk.Error.Message == "" || sdk.Error.Type == "" || a.Header.Get("X-Should-Retry") != strconv.FormatBool(p.Retryable) {
		t.Errorf("an SDK can't read the error: X-Should-Retry %q, %s", a.Header.Get("X-Should-Retry"), a.body)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an error may be cached: %q", a.Header.Get("Cache-Control"))
	}
	for _, name := range []string{"Etag", "Repr-Digest", "Content-Disposition", "Accept-Ranges"} {
		if a.Header.Get(name) != "" {
			t.Errorf("an error carries %s", name)
		}
	}
	if p.Retryable != (a.Header.Get("Retry-After") != "") {
		t.Errorf("retryable %t, Retry-After %q", p.Retryable, a.Header.Get("Retry-After"))
	}
	return p
}

func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	return v
}

// blobCount counts the blobs there are.
func (s *server) blobCount() int {
	s.t.Helper()
	blobs, err := s.parts.index.List(s.t.Context(), cas.Query{Limit: 100_000})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(blobs)
}

var eventually = castest.Eventually

var random = castest.RandomBytes

type gatewayOptions = gateway.Options
