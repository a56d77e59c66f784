package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// postDigest asks for a file of a blob that may be there. More are further members of the
// JSON, such as `"purpose":"batch"`.
func (s *server) postDigest(d cas.Digest, more string, headers ...string) answer {
	s.t.Helper()
	body := `{"digest":"` + d.String() + `",` + more + `}`
	return s.do("POST", "/v1/files", strings.NewReader(body), append(headers, "Content-Type", "application/json")...)
}

const plainFile = `"filename":"x.md","purpose":"user_data"`

func TestFileOfABlobThatIsThere(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		d := s.put([]byte("# stored before"))
		sent := s.newFile("note.md", "# stored before", field("context", "talk"), field("tags", "a,b"), field("metadata", `{"k":[1]}`),
			field("expires_after[anchor]", "created_at"), field("expires_after[seconds]", "7200"), field("on_expiry", "everywhere"))
		a := s.postDigest(d, `"filename":"folder/note.md","purpose":"user_data","context":"talk","tags":["a","b"],"metadata":{"k":[1]},`+
			`"expires_after":{"anchor":"created_at","seconds":7200},"on_expiry":"everywhere","providers":["kimi"]`)
		if a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		made := decode[api.File](t, a)
		if len(made.Asked) != 1 || made.Asked[0].Provider != "kimi" || a.Header.Get("Location") != s.url+"/v1/files/"+made.ID {
			t.Errorf("%+v, Location %q", made.Asked, a.Header.Get("Location"))
		}
		want := sent
		want.ID, want.CreatedAt, want.ExpiresAt, want.Asked = made.ID, made.CreatedAt, made.ExpiresAt, made.Asked
		if diff := cmp.Diff(want, made); diff != "" || made.ID == sent.ID || made.ExpiresAt-made.CreatedAt < 7190 || made.ExpiresAt-made.CreatedAt > 7210 {
			t.Errorf("the file differs from one whose bytes were sent: %s", diff)
		}
		if content := s.do("GET", "/v1/files/"+made.ID+"/content", nil); string(content.body) != "# stored before" {
			t.Errorf("%d %q", content.StatusCode, content.body)
		}
		e := s.postDigest(d, plainFile+`,"allow_duplicates":false`).wantFileError(t, 409, problem.DuplicateFile, "")
		if e.File == nil || e.File.Digest() != d {
			t.Errorf("the duplicate is %+v", e.File)
		}
		s.postDigest(cas.DigestOf([]byte("never stored")), plainFile).wantFileError(t, 404, problem.BlobNotFound, "")
		if a := s.do("DELETE", s.path(d)+"?force=true", nil); a.StatusCode != 202 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		s.postDigest(d, plainFile).wantFileError(t, 404, problem.BlobNotFound, "")
	})
}

func TestWrongFileOfABlob(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	d := s.put([]byte("x"))
	for more, param := range map[string]string{
		`"purpose":"user_data"`:                                                "filename",
		`"filename":"x"`:                                                       "purpose",
		`"filename":"x","purpose":"dance"`:                                     "purpose",
		plainFile + `,"tags":["a,b"]`:                                          "tags",
		plainFile + `,"metadata":[1]`:                                          "metadata",
		plainFile + `,"on_expiry":"everywhere"`:                                "expires_after[seconds]",
		plainFile + `,"file":"bytes"`:                                          "file",
		plainFile + `,"expires_after":{"anchor":"created_at","seconds":0}`:     "expires_after[seconds]",
		plainFile + `,"expires_after":{"anchor":"last_active","seconds":7200}`: "expires_after[anchor]",
		`"purpose":"user_data","filename":"\ud800.md"`:                         "filename",
		"\"purpose\":\"user_data\",\"filename\":\"\xff\"":                      "filename",
		plainFile + `,"tags":["\udc00"]`:                                       "tags",
		plainFile + `,"metadata":{"k":"\ud800"}`:                               "metadata",
	} {
		s.postDigest(d, more).wantFileError(t, 400, problem.InvalidRequest, param)
	}
	for more, says := range map[string]string{
		`"filename":5`:                     "filename has a number where a string is expected",
		`"tags":"a"`:                       "tags has a string where a list is expected",
		`"allow_duplicates":"no"`:          "allow_duplicates has a string where true or false is expected",
		`"expires_after":[]`:               "expires_after has a list where an object is expected",
		`"expires_after":{"seconds":1e99}`: "expires_after.seconds has the number 1e99 where a whole number is expected",
		`"digest":7`:                       "digest has a number where a string is expected",
	} {
		a := s.do("POST", "/v1/files", strings.NewReader("{"+more+"}"), "Content-Type", "application/json")
		param, _, _ := strings.Cut(says, " ")
		if e := a.wantFileError(t, 400, problem.InvalidRequest, param); e.Message != says {
			t.Errorf("%s: %q, want %q", more, e.Message, says)
		}
	}
	s.do("POST", "/v1/files", strings.NewReader(`{`+plainFile+`}`), "Content-Type", "application/json").wantFileError(t, 400, problem.InvalidRequest, "digest")
	s.postDigest(d, plainFile+`,"providers":["nowhere"]`).wantFileError(t, 404, problem.ProviderNotFound, "providers")
	if n := s.fileCount(); n != 0 {
		t.Errorf("%d files", n)
	}
}

// A token without the scope read gets the same answer for a blob that is there as for one
// that is not. One without write gets none.
func TestDigestAloneTellsNothingWithoutRead(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		s.newFile("secret.txt", "a secret")
		token := "Bearer " + s.newToken(access.ScopeWrite)
		text := func(content, more string) string {
			d := cas.DigestOf([]byte(content))
			e := s.postDigest(d, plainFile+more, "Authorization", token).wantFileError(t, 404, problem.BlobNotFound, "")
			return strings.ReplaceAll(e.Message, d.String(), "")
		}
		for _, more := range []string{"", `,"allow_duplicates":false`} {
			if there, not := text("a secret", more), text("not there", more); there != not {
				t.Errorf("there: %q, not there: %q", there, not)
			}
		}
		s.postDigest(cas.DigestOf(nil), plainFile, "Authorization", "Bearer "+s.newToken(access.ScopeRead)).wantFileError(t, 403, problem.Forbidden, "")
		c, err := client.New(s.url, client.Options{Token: strings.TrimPrefix(token, "Bearer ")})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		file, sent, err := c.PutFile(t.Context(), sourceOf(t, []byte("a secret")), client.NewFile{Name: "mine.txt", Purpose: "user_data"})
		if err != nil || !sent || file.Digest() != cas.DigestOf([]byte("a secret")) {
			t.Errorf("%+v, sent %t, %v", file, sent, err)
		}
	})
}

// A token without the scope read can't find out by guesses whether there is a blob, nor how
// large it is: an upload of wrong bytes is refused with the same words.
func TestGuessesTellNothingWithoutRead(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		token := "Bearer " + s.newToken(access.ScopeWrite)
		secret := strings.Repeat("secret", 4<<10)
		there, absent := s.put([]byte(secret)), cas.DigestOf([]byte("never stored"))
		refusal := func(d cas.Digest, guess string, headers ...string) string {
			a := s.do("PUT", s.path(d), strings.NewReader(guess), append(headers, "Authorization", token)...)
			return strings.ReplaceAll(a.wantProblem(t, 422, problem.DigestMismatch).Detail, d.String(), "")
		}
		for _, guess := range []string{"shorter", strings.Repeat("wrong!", 4<<10)} {
			for _, headers := range [][]string{nil, {"Expect", "100-continue"}} {
				if there, absent := refusal(there, guess, headers...), refusal(absent, guess, headers...); there != absent {
					t.Errorf("%d bytes, %q: there: %q, absent: %q", len(guess), headers, there, absent)
				}
			}
		}
		if a := s.do("PUT", s.path(there), strings.NewReader(secret), "Authorization", token, "Expect", "100-continue"); a.StatusCode != 200 {
			t.Errorf("the right bytes: %d %s", a.StatusCode, a.body)
		}
		s.do("PUT", s.path(there), strings.NewReader("shorter"), "Expect", "100-continue").wantProblem(t, 422, problem.DigestMismatch)
	})
}

// An object that was not seen recently is looked at before the gateway says that it has
// the bytes.
func TestFileOfABlobWhoseObjectIsGone(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.SeenFor = -1 })
		content := random(300 << 10) // not kept in memory
		d := s.put(content)
		p.remove(t, d)
		s.postDigest(d, plainFile).wantFileError(t, 404, problem.BlobNotFound, "")
		file, sent, err := s.client().PutFile(t.Context(), sourceOf(t, content), client.NewFile{Name: "x.bin", Purpose: "user_data", Metadata: json.RawMessage(`{}`)})
		if err != nil || !sent || file.Digest() != d {
			t.Fatalf("%+v, sent %t, %v", file, sent, err)
		}
		s.wantBlob(content)
		again, sent, err := s.client().PutFile(t.Context(), unreadable(t, content), client.NewFile{Name: "y.bin", Purpose: "batch"})
		if err != nil || sent || again.Digest() != d || again.ID == file.ID {
			t.Errorf("%+v, sent %t, %v", again, sent, err)
		}
	})
}

// A source that changed after it was hashed is not stored.
func TestPutFileOfAChangedSource(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	source := sourceOf(t, []byte("before"))
	source.Open = sourceOf(t, []byte("change")).Open
	if _, _, err := s.client().PutFile(t.Context(), source, client.NewFile{Name: "x", Purpose: "batch"}); !errors.Is(err, cas.ErrDigestMismatch) {
		t.Errorf("%v", err)
	}
	if n := s.fileCount(); n != 0 {
		t.Errorf("%d files", n)
	}
}

func sourceOf(t *testing.T, content []byte) client.Source {
	t.Helper()
	source, err := client.NewSource(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// unreadable is a source that must not be sent.
func unreadable(t *testing.T, content []byte) client.Source {
	source := sourceOf(t, content)
	source.Open = func() (io.ReadCloser, error) {
		t.Error("the bytes were to be sent")
		return nil, errors.New("not to be read")
	}
	return source
}
