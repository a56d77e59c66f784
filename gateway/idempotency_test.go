package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
	"casgate/index/indextest"
)

// postKeyed uploads a file in a form under an idempotency key.
func (s *server) postKeyed(key string, parts ...formPart) answer {
	s.t.Helper()
	body, mediaType := formOf(s.t, parts...)
	return s.do("POST", "/v1/files", body, "Content-Type", mediaType, "Idempotency-Key", key)
}

var forUsers = field("purpose", "user_data")

// A repetition with the same key gets the first answer; anything else with the key is
// refused.
func TestIdempotencyKeyOfAFile(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		upload := []formPart{filePart("a.md", "# text"), forUsers, field("tags", "x"), field("metadata", `{"a":1, "b":"<"}`)}
		a := s.postKeyed("key", upload...)
		if a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		first := decode[api.File](t, a)
		// A form whose fields are in another order, and JSON, ask for the same.
		again := s.postKeyed("key", upload[3], upload[2], upload[1], upload[0])
		if string(again.body) != string(a.body) {
			t.Errorf("%d %s; the first answer was %s", again.StatusCode, again.body, a.body)
		}
		byJSON := s.postDigest(first.Digest(), `"filename":"a.md","purpose":"user_data","tags":["x"],"metadata":{"b":"<","a":1}`, "Idempotency-Key", "key")
		if string(byJSON.body) != string(a.body) {
			t.Errorf("%d %s; the first answer was %s", byJSON.StatusCode, byJSON.body, a.body)
		}
		for what, parts := range map[string][]formPart{
			"other bytes":       {filePart("a.md", "# other"), forUsers, upload[2], upload[3]},
			"another name":      {filePart("b.md", "# text"), forUsers, upload[2], upload[3]},
			"another purpose":   {filePart("a.md", "# text"), field("purpose", "batch"), upload[2], upload[3]},
			"other metadata":    {filePart("a.md", "# text"), forUsers, upload[2], field("metadata", `{"a":2}`)},
			"no duplicates":     {filePart("a.md", "# text"), forUsers, upload[2], upload[3], field("allow_duplicates", "false")},
			"an expiry as well": {filePart("a.md", "# text"), forUsers, upload[2], upload[3], field("expires_after[anchor]", "created_at"), field("expires_after[seconds]", "3600")},
		} {
			a := s.postKeyed("key", parts...)
			if a.StatusCode != 422 {
				t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
				continue
			}
			a.wantFileError(t, 422, problem.KeyReused, "")
		}
		if other := decode[api.File](t, s.postKeyed("other", upload...)); other.ID == first.ID || other.ID == "" {
			t.Errorf("under another key: %+v", other)
		}
		if n := s.fileCount(); n != 2 {
			t.Errorf("%d files; want 2", n)
		}
		if a := s.do("DELETE", "/v1/files/"+first.ID, nil); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		gone := s.postKeyed("key", upload...).wantFileError(t, 404, problem.FileNotFound, "")
		if !strings.HasPrefix(gone.Message, "file not found: an upload with this Idempotency-Key created the file") {
			t.Errorf("the answer for a deleted file: %s", gone.Message)
		}
	})
}

// Keys are those of a token, and each upload URL has its own.
func TestWhoseAnIdempotencyKeyIs(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	token := "Bearer " + s.newToken(access.ScopeWrite)
	files := map[string]bool{}
	for range 2 {
		body, mediaType := formOf(t, filePart("a.md", "# text"), forUsers)
		text := body.String()
		for _, as := range []string{"Bearer " + s.token, token} {
			a := s.do("POST", "/v1/files", strings.NewReader(text), "Content-Type", mediaType, "Idempotency-Key", "key", "Authorization", as)
			files[decode[api.File](t, a).ID] = true
		}
	}
	signed := map[string]string{}
	for _, name := range []string{"a.md", "b.md"} {
		u, err := s.client().UploadURL(t.Context(), client.UploadURLOptions{Filename: name})
		if err != nil {
			t.Fatal(err)
		}
		signed[name] = u.URL
	}
	for range 2 {
		for name, address := range signed {
			files[decode[api.File](t, s.putURL(address, name, "Idempotency-Key", "key")).ID] = true
		}
	}
	if n := s.fileCount(); n != 4 || len(files) != 4 || files[""] {
		t.Errorf("%d files; answers named %v; want 4", n, files)
	}
	s.putURL(signed["a.md"], "other bytes", "Idempotency-Key", "key").wantProblem(t, 422, problem.KeyReused)
	for _, key := range []string{"", strings.Repeat("x", 256), "schlüssel"} {
		s.postKeyed(key, filePart("a.md", "# text"), forUsers).wantFileError(t, 400, problem.InvalidRequest, "Idempotency-Key")
	}
	twice, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/blobs", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	twice.Header = http.Header{"Idempotency-Key": {"one", "two"}, "Authorization": {"Bearer " + s.token}}
	a, err := s.send(twice)
	if err != nil {
		t.Fatal(err)
	}
	a.wantProblem(t, 400, problem.InvalidRequest)
}

func TestIdempotencyKeyOfABlob(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		post := func(key, content, query string) answer {
			return s.do("POST", "/v1/blobs"+query, strings.NewReader(content), "Idempotency-Key", key)
		}
		first := post("key", "bytes", "")
		again := post("key", "bytes", "")
		if first.StatusCode != 201 || again.StatusCode != 201 || string(first.body) != string(again.body) {
			t.Errorf("%d %s and then %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
		}
		if other := post("other", "bytes", ""); other.StatusCode != 200 {
			t.Errorf("under another key: %d %s", other.StatusCode, other.body)
		}
		post("key", "other bytes", "").wantProblem(t, 422, problem.KeyReused)
		post("key", "bytes", "?name=x.txt").wantProblem(t, 422, problem.KeyReused)
		s.postKeyed("key", filePart("a.md", "bytes"), forUsers).wantFileError(t, 422, problem.KeyReused, "")
	})
}

// The bytes of an upload that is refused for its key are not stored: one after the other, or all at
// once. So a URL for one upload takes one.
func TestRefusedKeysStoreNothing(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		address := func() string {
			return decode[api.UploadURL](t, s.do("POST", "/v1/upload-urls", strings.NewReader(`{"filename":"a.md"}`), "Content-Type", "application/json")).URL
		}
		url := address()
		for way, upload := range map[string]func(content string) answer{
			"URL":  func(content string) answer { return s.putURL(url, content) },
			"form": func(content string) answer { return s.postKeyed("form", filePart("a.md", content), forUsers) },
			"blob": func(content string) answer {
				return s.do("POST", "/v1/blobs", strings.NewReader(content), "Idempotency-Key", "blob")
			},
			"blob that is expected": func(content string) answer {
				return s.do("POST", "/v1/blobs", strings.NewReader(content), "Idempotency-Key", "expected", "Expect", "100-continue")
			},
			"form of a blob": func(content string) answer {
				body, mediaType := formOf(t, filePart("a.md", content))
				return s.do("POST", "/v1/blobs", body, "Content-Type", mediaType, "Idempotency-Key", "form of a blob")
			},
		} {
			before := s.blobCount()
			var stored, refused atomic.Int32
			var uploads sync.WaitGroup
			for i := range 6 {
				uploads.Go(func() {
					switch a := upload(fmt.Sprintf("%s %d", way, i)); a.StatusCode {
					case 200, 201:
						stored.Add(1)
					case 422:
						refused.Add(1)
					default:
						t.Errorf("%s: %d %s", way, a.StatusCode, a.body)
					}
				})
			}
			uploads.Wait()
			if n := s.blobCount() - before; n != 1 || stored.Load() != 1 || refused.Load() != 5 {
				t.Errorf("%s: %d blobs, of %d uploads that were taken and %d that were refused", way, n, stored.Load(), refused.Load())
			}
			if a := upload(way + " later"); a.StatusCode != 422 || !strings.Contains(string(a.body), string(problem.KeyReused)) {
				t.Errorf("%s: a later upload: %d %s", way, a.StatusCode, a.body)
			}
			if n := s.blobCount() - before; n != 1 {
				t.Errorf("%s: a later upload left %d blobs", way, n)
			}
		}
	})
}

// A repetition whose own digest is wrong is told so: with another key it would become a second file.
func TestRepetitionWithAWrongDigest(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	body, mediaType := formOf(t, filePart("a.md", "# text"), forUsers)
	raw, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	post := func(sum [sha256.Size]byte) answer {
		digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
		return s.do("POST", "/v1/files", bytes.NewReader(raw), "Content-Type", mediaType, "Idempotency-Key", "key", "Content-Digest", digest)
	}
	if a := post(sha256.Sum256(raw)); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	post(sha256.Sum256(nil)).wantFileError(t, 422, problem.DigestMismatch, "")
}

// A repetition whose file was deleted everywhere does not bring its bytes back.
func TestLateRepetitionBringsNothingBack(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		signed := decode[api.UploadURL](t, s.do("POST", "/v1/upload-urls", strings.NewReader(`{"filename":"a.md"}`), "Content-Type", "application/json")).URL
		other := field("purpose", "assistants")
		for way, upload := range map[string]func(again bool) answer{
			"URL":  func(bool) answer { return s.putURL(signed, "# by URL") },
			"form": func(bool) answer { return s.postKeyed("form", filePart("a.md", "# by form"), forUsers) },
			"form with other fields": func(again bool) answer {
				if again {
					return s.postKeyed("other", filePart("a.md", "# other"), other)
				}
				return s.postKeyed("other", filePart("a.md", "# other"), forUsers)
			},
			"form under the key of a blob": func(again bool) answer {
				if again {
					return s.postKeyed("blob", filePart("a.md", "# blob"), forUsers)
				}
				return s.do("POST", "/v1/blobs", strings.NewReader("# blob"), "Idempotency-Key", "blob")
			},
		} {
			first := upload(false)
			if first.StatusCode > 201 {
				t.Fatalf("%s: %d %s", way, first.StatusCode, first.body)
			}
			target := "/v1/blobs/" + cas.DigestOf([]byte("# blob")).String()
			if first.StatusCode == 200 {
				target = "/v1/files/" + decode[api.File](t, first).ID + "?everywhere=true"
			}
			if a := s.do("DELETE", target, nil); a.StatusCode > 202 {
				t.Fatalf("%s: %d %s", way, a.StatusCode, a.body)
			}
			before := s.blobCount()
			if a := upload(true); a.StatusCode != 404 && a.StatusCode != 422 {
				t.Errorf("%s: %d %s", way, a.StatusCode, a.body)
			}
			if n := s.blobCount(); n != before {
				t.Errorf("%s: %d blobs came back", way, n-before)
			}
		}
	})
}

// Of many uploads with one key at once, through two gateways, one creates the file, and all
// are answered with it.
func TestIdempotencyKeyAtOnce(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		gateways := []*server{start(t, p, nil)}
		if p.shared {
			gateways = append(gateways, start(t, p, nil))
			gateways[1].token = gateways[0].token
		}
		var mu sync.Mutex
		files := map[string]int{}
		var uploads sync.WaitGroup
		for i := range 8 {
			uploads.Go(func() {
				a := gateways[i%len(gateways)].postKeyed("key", filePart("a.md", "# text"), forUsers)
				if a.StatusCode != 200 {
					t.Errorf("%d %s", a.StatusCode, a.body)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				files[decode[api.File](t, a).ID]++
			})
		}
		uploads.Wait()
		if n := gateways[0].fileCount(); n != 1 || len(files) != 1 {
			t.Errorf("%d files; answers named %v", n, files)
		}
	})
}

// The index may lose the reply, or the write, of an upload. Either way, a repetition ends
// with one file.
func TestIdempotencyKeyAfterALostReply(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			setups(t, func(t *testing.T, p *parts) {
				failing, x := true, p.index
				p.index = overlay{x, indextest.NewFaultyFiles(x, func(op string, _ cas.Digest) (bool, error) {
					if failing && (op == indextest.OpCommitFile || op == indextest.OpCreateFile) {
						return applied, cas.ErrIndexUnavailable
					}
					return false, nil
				}), x, x, x, x}
				s := start(t, p, nil)
				s.postKeyed("key", filePart("a.md", "# text"), forUsers).wantFileError(t, 503, problem.IndexUnavailable, "")
				failing = false
				if a := s.postKeyed("key", filePart("a.md", "# text"), forUsers); a.StatusCode != 200 {
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
				if n := s.fileCount(); n != 1 {
					t.Errorf("%d files; want 1", n)
				}
			})
		})
	}
}

// answerLoser loses the first answers of a gateway: the requests reach it.
type answerLoser struct {
	lose int
	http.RoundTripper
}

func (l *answerLoser) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if err != nil || res.StatusCode != 200 || l.lose == 0 {
		return res, err
	}
	l.lose--
	res.Body.Close()
	return nil, errors.New("connection reset")
}

// The client repeats an upload whose answer got lost, and that makes one file.
func TestPutFileAfterLostAnswers(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	loser := &answerLoser{lose: 2, RoundTripper: http.DefaultTransport}
	c, err := client.New(s.url, client.Options{Token: s.token, HTTPClient: &http.Client{Transport: loser}})
	if err != nil {
		t.Fatal(err)
	}
	describe := client.NewFile{Name: "a.md", Purpose: "user_data", Tags: []string{"x"}, Metadata: []byte(`{"b": "<", "a": 1}`)}
	file, sent, err := c.PutFile(t.Context(), sourceOf(t, []byte("# text")), describe)
	if err != nil || !sent || loser.lose != 0 {
		t.Fatalf("%+v, sent %t, %v; %d answers left to lose", file, sent, err, loser.lose)
	}
	if n := s.fileCount(); n != 1 {
		t.Errorf("%d files; want 1", n)
	}
	loser.lose = 1
	if _, sent, err := c.PutFile(t.Context(), unreadable(t, []byte("# text")), describe); err != nil || sent || loser.lose != 0 {
		t.Errorf("the second file: sent %t, %v", sent, err)
	}
	if n := s.fileCount(); n != 2 {
		t.Errorf("%d files; want 2", n)
	}
	// The whole call can be repeated under a key of the caller's, in a new process too.
	describe.IdempotencyKey = "mine"
	one, _, err := c.PutFile(t.Context(), sourceOf(t, []byte("# text")), describe)
	if err != nil {
		t.Fatal(err)
	}
	if two, _, err := c.PutFile(t.Context(), sourceOf(t, []byte("# text")), describe); err != nil || two.ID != one.ID {
		t.Errorf("%s and then %s, %v", one.ID, two.ID, err)
	}
	if _, _, err := c.PutFile(t.Context(), sourceOf(t, []byte("other")), describe); !errors.Is(err, cas.ErrKeyReused) {
		t.Errorf("other bytes: %v", err)
	}
}
