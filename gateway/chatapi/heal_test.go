package chatapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/gateway/request"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// lossyCopies is a Replicator whose provider loses files.
type lossyCopies struct {
	Replicator
	mu      sync.Mutex
	ids     map[cas.Digest]string // of the copies
	lost    map[string]bool
	lookUps int
}

func (l *lossyCopies) current(d cas.Digest) *ledger.Copy {
	return &ledger.Copy{FileID: l.ids[d]}
}

func (l *lossyCopies) ChatReference(_ context.Context, q replicator.Request) (replicator.Reference, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.current(q.Digest)
	return replicator.Reference{Kind: providers.ReferenceKind{Place: providers.PlacePart}, Value: []byte(`{"type":"image_url","image_url":"ms://` + c.FileID + `"}`), Copy: c}, nil
}

// ReportLost takes a second for a look-up, and another for an upload.
func (l *lossyCopies) ReportLost(_ context.Context, q replicator.Request, id string) (ledger.Copy, bool, error) {
	l.mu.Lock()
	l.lookUps++
	lost := l.lost[id] && l.ids[q.Digest] == id
	l.mu.Unlock()
	time.Sleep(time.Second)
	if lost {
		time.Sleep(time.Second)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost {
		l.ids[q.Digest] = id + "'"
	}
	return *l.current(q.Digest), lost, nil
}

// lossyCall returns a call that names images, and whose provider refuses lost files.
func lossyCall(t *testing.T, l *lossyCopies, looked *lookUps, images ...cas.Digest) (*call, *http.Request) {
	t.Helper()
	c := newCall(t, func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		status := http.StatusOK
		for id := range l.lost {
			if strings.Contains(string(body), id+`"`) {
				status = http.StatusNotFound
			}
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("answer")), ContentLength: -1}, nil
	})
	c.h.Copies, c.h.looked, c.memory = l, looked, newMemory(1<<20, 1<<20).reserve("")
	c.h.Waits = request.Waits{Usual: time.Minute, Stopping: t.Context()}
	parts := make([]string, len(images))
	for i := range images {
		parts[i] = `{"type":"file","file":{"file_id":"file-x"}}`
	}
	var err error
	if c.body, err = scan([]byte(`{"model":"m","messages":[{"role":"user","content":[` + strings.Join(parts, ",") + `]}]}`)); err != nil {
		t.Fatal(err)
	}
	for i, d := range images {
		c.attached = append(c.attached, &attachment{part: c.body.Parts[i], source: sourceDigest, want: replicator.Request{Digest: d}})
	}
	if err := c.refer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.pieces, c.size, err = c.completion.pieces(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://provider/", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.fill(r)
	return c, r
}

// TestAllCallersAreHealed: requests that meet a lost file at the same time, or while
// another one replaces it, or just afterwards, all get the answer.
func TestAllCallersAreHealed(t *testing.T) {
	for _, files := range []int{1, 4} {
		for _, apart := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond} {
			t.Run(fmt.Sprintf("%d files, %v", files, apart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := &lossyCopies{ids: map[cas.Digest]string{}, lost: map[string]bool{}}
					looked := newLookUps()
					var images []cas.Digest
					for i := range files {
						d := cas.DigestOf([]byte{byte(i)})
						images = append(images, d)
						l.ids[d] = fmt.Sprintf("id-%d", i)
						l.lost[l.ids[d]] = true
					}
					var callers sync.WaitGroup
					for i := range 20 {
						c, r := lossyCall(t, l, looked, images[i%files:]...) // with ids that will be replaced
						callers.Go(func() {
							time.Sleep(time.Duration(i) * apart)
							answer, err := c.RoundTrip(r)
							if err != nil {
								t.Errorf("caller %d: %v", i, err)
								return
							}
							defer answer.Body.Close()
							if answer.StatusCode != http.StatusOK || !c.healed {
								t.Errorf("caller %d: %d, healed %t", i, answer.StatusCode, c.healed)
							}
						})
					}
					callers.Wait()
					if apart == 0 && l.lookUps != files {
						t.Errorf("%d look-ups of %d files", l.lookUps, files)
					}
				})
			})
		}
	}
}

// TestIDsThatWereKnown: an id that the provider has just known is not looked up again, but
// if it has been replaced since, the request is sent with the new one.
func TestIDsThatWereKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := cas.DigestOf([]byte("x"))
		l := &lossyCopies{ids: map[cas.Digest]string{d: "id"}, lost: map[string]bool{}}
		looked := newLookUps()
		refuse := func(heals bool, lookUps int) {
			t.Helper()
			c, r := lossyCall(t, l, looked, d)
			l.mu.Lock()
			l.lost["id"] = true // as if the model were unknown
			if heals {
				l.ids[d] = "new"
			}
			l.mu.Unlock()
			defer func() { l.lost = map[string]bool{} }()
			answer, err := c.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if c.healed != heals || l.lookUps != lookUps {
				t.Errorf("healed %t, %d look-ups", c.healed, l.lookUps)
			}
		}
		looked.setKnown("kimi id")
		refuse(false, 0)
		time.Sleep(lookEvery) // of the bubble's clock
		looked.setKnown("kimi id")
		refuse(true, 0)
	})
}
