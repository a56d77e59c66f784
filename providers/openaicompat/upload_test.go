package openaicompat_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/openaicompat"
)

// source is an upload's content that counts its opens and closes.
type source struct {
	io.Reader
	opened, closed int
}

func (s *source) Close() error {
	s.closed++
	return nil
}

func (s *source) upload(size int64) providers.Upload {
	return providers.Upload{
		Purpose: "user_data", Name: "a.txt", MediaType: "text/plain", Size: size,
		Open: func(context.Context) (io.ReadCloser, error) {
			s.opened++
			return s, nil
		},
	}
}

func (s *source) wantClosed(t *testing.T) {
	t.Helper()
	if s.opened != 1 || s.closed != 1 {
		t.Errorf("the content was opened %d times and closed %d times", s.opened, s.closed)
	}
}

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(r *http.Request, status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}
}

func with(t require, c openaicompat.Config, f transport) providers.Provider {
	p, err := c.Open(providers.Settings{APIKey: key, BaseURL: "https://h.example/v1", Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// require is what testing.T and rapid.T have in common here.
type require interface{ Fatal(...any) }

// TestForm: whatever is uploaded, the form has it in the right order, and is as
// long as it was said to be.
func TestForm(t *testing.T) {
	t.Parallel()
	openai := preset(t, "openai")
	rapid.Check(t, func(t *rapid.T) {
		c := openai
		c.FieldsAfterFile = rapid.Bool().Draw(t, "fields after the file")
		c.Fields = rapid.MapOfN(rapid.StringMatching(`[a-z]{1,8}(\[[a-z]{1,8}\])?`), rapid.String(), 0, 3).Draw(t, "fields")
		delete(c.Fields, "file")
		delete(c.Fields, "purpose")
		content := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "content")
		u := providers.Upload{
			Purpose: rapid.StringMatching(`[a-z-]{1,20}`).Draw(t, "purpose"),
			Name:    rapid.StringMatching(`[^\x00-\x1f\x7f/\\"\p{C}]{1,100}`).Draw(t, "name"), MediaType: "text/plain; charset=utf-8",
			Size: int64(len(content)),
			Open: func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(&chunks{t, bytes.NewReader(content)}), nil
			},
		}
		want := []part{{"file", u.Name, u.MediaType, string(content)}}
		fields := []part{{name: "purpose", content: u.Purpose}}
		for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
			fields = append(fields, part{name: name, content: c.Fields[name]})
		}
		if c.FieldsAfterFile {
			want = append(want, fields...)
		} else {
			want = append(fields, want...)
		}
		var got []part
		p := with(t, c, func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			if r.ContentLength != int64(len(body)) {
				t.Errorf("a form of %d bytes was said to have %d", len(body), r.ContentLength)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			got = parts(t, r)
			return answer(r, 200, "application/json", `{"id":"f"}`), nil
		})
		if _, err := p.Upload(context.Background(), u); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(part{})); diff != "" {
			t.Errorf("the form (-want +got):\n%s", diff)
		}
	})
}

type part struct{ name, fileName, mediaType, content string }

func parts(t *rapid.T, r *http.Request) []part {
	reader, err := r.MultipartReader()
	if err != nil {
		t.Fatal(err)
	}
	var all []part
	for {
		var p *multipart.Part
		if p, err = reader.NextRawPart(); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, part{p.FormName(), p.FileName(), p.Header.Get("Content-Type"), string(content)})
	}
}

// chunks reads in pieces of any size, and ends with its last bytes or after them.
type chunks struct {
	t   *rapid.T
	src *bytes.Reader
}

func (c *chunks) Read(p []byte) (int, error) {
	n, err := c.src.Read(p[:rapid.IntRange(0, len(p)).Draw(c.t, "chunk")])
	if c.src.Len() == 0 && rapid.Bool().Draw(c.t, "end with the bytes") {
		err = io.EOF
	}
	if err == io.EOF && c.src.Len() > 0 {
		err = nil // an empty read
	}
	return n, err
}

// TestSourceFails: content that turns out to be wrong, at its end too, is never a
// whole request.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	received := make(chan error, 1)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		received <- err
	}))
	text := strings.Repeat("all is well ", 10_000)
	size := int64(len(text))
	for name, test := range map[string]struct {
		reader io.Reader
		want   error
	}{
		"wrong digest": {cas.NewVerifyingReader(strings.NewReader(text), cas.DigestOf([]byte("other")), size), cas.ErrDigestMismatch},
		"too short":    {strings.NewReader(text[1:]), io.ErrUnexpectedEOF},
		"corrupt":      {io.MultiReader(strings.NewReader(text), failing{cas.ErrObjectCorrupt}), cas.ErrObjectCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s := &source{Reader: test.reader}
			_, err := at(t, preset(t, "openai"), url+"/v1").Upload(t.Context(), s.upload(size))
			e, ok := errors.AsType[*providers.Error](err)
			if !ok || !errors.Is(err, test.want) || e.Kind != providers.KindTransient || e.Status != 0 {
				t.Errorf("got %v; want one of KindTransient that wraps %v", err, test.want)
			}
			s.wantClosed(t)
			if err := <-received; err == nil {
				t.Error("the provider got a whole request")
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestSourceDoesNotOpen(t *testing.T) {
	t.Parallel()
	p := with(t, preset(t, "openai"), func(*http.Request) (*http.Response, error) {
		t.Error("something was sent")
		return nil, io.EOF
	})
	_, err := p.Upload(t.Context(), providers.Upload{Open: func(context.Context) (io.ReadCloser, error) { return nil, cas.ErrObjectMissing }})
	if e, ok := errors.AsType[*providers.Error](err); !ok || !errors.Is(err, cas.ErrObjectMissing) || e.Kind != providers.KindTransient {
		t.Errorf("got %v", err)
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	absent := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := &source{Reader: strings.NewReader("x")}
	_, err = at(t, preset(t, "openai"), absent).Upload(t.Context(), s.upload(1))
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.Kind != providers.KindTransient || e.Code != providers.CodeConnection {
		t.Errorf("got %v; want KindTransient: nothing was sent", err)
	}
	s.wantClosed(t)
}

// A success for a request that was only half sent is none.
func TestAnsweredTooEarly(t *testing.T) {
	t.Parallel()
	p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
		io.CopyN(io.Discard, r.Body, 300)
		r.Body.Close()
		return answer(r, 200, "application/json", `{"id":"f"}`), nil
	})
	s := &source{Reader: strings.NewReader(strings.Repeat("x", 1000))}
	_, err := p.Upload(t.Context(), s.upload(1000))
	if e, ok := errors.AsType[*providers.Error](err); !ok || e.Kind != providers.KindUnknown || e.Code != providers.CodeBadAnswer {
		t.Errorf("got %v; want KindUnknown", err)
	}
	s.wantClosed(t)
}

// What an answer leaves out is what was asked for; a file's own word counts more.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]providers.RemoteFile{
		`{"id":"f"}`: {ID: "f", Name: "a.txt", Size: 3, Purpose: "user_data", Status: providers.StatusReady},
		`{"id":17,"bytes":"3","created_at":"1700815879","status":"uploaded","error":null}`:                                                  {ID: "17", Name: "a.txt", Size: 3, Purpose: "user_data", Status: providers.StatusReady},
		`{"id":"f","filename":"b.txt","bytes":4,"purpose":"vision","created_at":1700815879.5,"expires_at":1700815880,"status":"processed"}`: {ID: "f", Name: "b.txt", Size: 4, Purpose: "vision", Status: providers.StatusReady},
		`{"id":"f","filename":null,"fileName":"b.txt","size_bytes":4,"created_at":"2023-11-24T08:51:19Z","expires_at":null}`:                {ID: "f", Name: "b.txt", Size: 4, Purpose: "user_data", Status: providers.StatusReady},
		`{"id":"f","status":"error","status_details":"no text in it\u0000"}`:                                                                {ID: "f", Name: "a.txt", Size: 3, Purpose: "user_data", Status: providers.StatusFailed, Detail: "no text in it"},
		`{"id":"f","filename":["?"],"bytes":{},"created_at":[],"purpose":null,"status":null}`:                                               {ID: "f", Name: `["?"]`, Size: 3, Purpose: "user_data", Status: providers.StatusReady},
	} {
		p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			return answer(r, 200, "application/json", body), nil
		})
		got, err := p.Upload(t.Context(), (&source{Reader: strings.NewReader("abc")}).upload(3))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if strings.Contains(body, `created_at":"`) || strings.Contains(body, `created_at":1`) {
			if got.CreatedAt.Unix() != 1700815879 {
				t.Errorf("%s: created at %s", body, got.CreatedAt)
			}
		}
		got.CreatedAt, got.ExpiresAt = want.CreatedAt, want.ExpiresAt
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", body, got, want)
		}
	}
}
