package replicator_test

import (
	"context"
	crand "crypto/rand"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/providers"
	"casgate/providers/guard"
	"casgate/providers/kimi"
	"casgate/providers/openaicompat"
	"casgate/providers/replicator"
	"casgate/providers/simulator"
	"casgate/providers/simulator/kimisim"
	"casgate/providers/simulator/openaisim"
)

// received counts the bytes of requests' bodies that a provider gets.
type received struct {
	http.Handler
	bytes atomic.Int64
}

func (s *received) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = countedBody{r.Body, &s.bytes}
	s.Handler.ServeHTTP(w, r)
}

type countedBody struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	return n, err
}

// TestRefusedUploadIsSentOnce: an upload that is refused after all its bytes, without a
// wait, is not sent again at once.
func TestRefusedUploadIsSentOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const size = 20 << 20
	server := kimisim.New(kimisim.Options{Key: kimiKey})
	counted := &received{Handler: server}
	r := w.through(t, connect(t, counted, kimisim.Prefix, kimi.Open, kimiKey, guard.Options{}))
	run(t, r)
	refused := kimisim.RateLimited(0)
	refused.Op, refused.Times = providers.OpUpload, 0
	server.Fail(refused)
	q := at("kimi", w.put(t, strings.Repeat("twenty characters.. ", size/20), "a.txt"))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if _, _, err := r.Ensure(ctx, q); err == nil {
		t.Fatal("no error")
	}
	<-ctx.Done() // the queue goes on meanwhile
	if n := counted.bytes.Load(); n < size || n > size+size/10 {
		t.Errorf("%d bytes were sent for a file of %d", n, size)
	}
}

// TestBytesSentPerByteStored measures what lost replies and refusals cost: each of them
// happens to 20 % of the uploads, after the whole body was received.
func TestBytesSentPerByteStored(t *testing.T) {
	t.Parallel()
	type account struct {
		server interface {
			http.Handler
			Files() []simulator.RemoteFile
		}
		prefix string
		open   func(providers.Settings) (providers.Provider, error)
	}
	for name, account := range map[string]account{
		"kimi": {kimisim.New(kimisim.Options{Key: kimiKey}), kimisim.Prefix, kimi.Open},
		"openai": {openaisim.New(openaisim.Options{Key: kimiKey}), openaisim.Prefix, func(s providers.Settings) (providers.Provider, error) {
			s.Name = "openai"
			return openaicompat.Open(s)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			counted := &received{Handler: &unreliable{next: account.server, dice: rand.New(rand.NewPCG(1, 2))}}
			o := guard.Options{Hold: guard.HoldOptions{First: 5 * time.Millisecond, Longest: 50 * time.Millisecond}}
			r := w.through(t, connect(t, counted, account.prefix, account.open, kimiKey, o))
			run(t, r)
			files, size := castest.Thorough(100, 25), 64<<10
			var digests []cas.Digest
			for range files {
				digests = append(digests, w.put(t, strings.Repeat(crand.Text()+"\n", size/27), "a.txt"))
			}
			var all sync.WaitGroup
			for _, d := range digests {
				all.Go(func() { ensureInTime(t, r, at(name, d)) })
			}
			all.Wait()
			var stored int64
			for _, f := range account.server.Files() {
				stored += f.Size
			}
			if n := len(account.server.Files()); n != files {
				t.Errorf("%d files for %d blobs", n, files)
			}
			ratio := float64(counted.bytes.Load()) / float64(stored)
			t.Logf("%.2f bytes were sent per byte stored", ratio)
			if ratio > 1.5 {
				t.Errorf("%.2f bytes were sent per byte stored; want at most 1.5", ratio)
			}
		})
	}
}

// ensureInTime asks for a copy until it is ready.
func ensureInTime(t *testing.T, r *replicator.Replicator, q replicator.Request) {
	eventually(t, "a copy", func() bool {
		_, _, err := r.Ensure(t.Context(), q)
		return err == nil
	})
}

// unreliable loses the replies of 20 % of the uploads, and refuses another 20 %.
type unreliable struct {
	next http.Handler
	mu   sync.Mutex
	dice *rand.Rand
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		u.next.ServeHTTP(w, r)
		return
	}
	u.mu.Lock()
	roll := u.dice.Float64()
	u.mu.Unlock()
	switch {
	case roll < 0.2:
		u.next.ServeHTTP(discarded{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case roll < 0.4:
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"message":"slow down","type":"rate_limit_reached_error"}}`) // the client may have left
	default:
		u.next.ServeHTTP(w, r)
	}
}

// discarded is an answer that gets lost.
type discarded struct{ header http.Header }

func (d discarded) Header() http.Header       { return d.header }
func (discarded) Write(p []byte) (int, error) { return len(p), nil }
func (discarded) WriteHeader(int)             {}
