package s3source_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3source"
	"casgate/cas/s3store/s3test"
)

// odd are keys that are easy to encode wrongly.
var odd = []string{"plain.txt", "a/b c/ü+%2F?#&=.txt", "报告 📎.docx", "a/.emptyFolderPlaceholder", "folder/"}

// newBucket makes a bucket with an object at each odd key, whose content is the
// key.
func newBucket(t *testing.T) s3source.Options {
	t.Helper()
	o := s3test.NewBucket(t)
	client := s3test.Client(t, o)
	for _, key := range odd {
		_, err := client.PutObject(t.Context(), o.Bucket, "old/"+key, strings.NewReader(key), int64(len(key)), minio.PutObjectOptions{})
		if err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
	}
	return s3source.Options{Endpoint: o.Endpoint, Bucket: o.Bucket, AccessKey: o.AccessKey, SecretKey: o.SecretKey, Prefix: "old"}
}

func newSource(t *testing.T, o s3source.Options) *s3source.Source {
	t.Helper()
	s, err := s3source.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// check reads the odd objects in every way there is.
func check(t *testing.T, s *s3source.Source) {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range odd {
		object, err := s.Open(t.Context(), key)
		if err != nil {
			t.Errorf("open %q: %v", key, err)
			continue
		}
		b, err := io.ReadAll(object.Body)
		if err != nil || string(b) != key || object.Size != int64(len(key)) || object.Body.Close() != nil {
			t.Errorf("read %q: %q, size %d, error %v", key, b, object.Size, err)
		}
		if size, err := s.Stat(t.Context(), key); err != nil || size != int64(len(key)) {
			t.Errorf("stat %q: %d, %v", key, size, err)
		}
	}
	for _, key := range []string{"nothing", "old/plain.txt", "", strings.Repeat("long", 400)} {
		if _, err := s.Open(t.Context(), key); !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("open %.20q: %v", key, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("stat %.20q: %v", key, err)
		}
	}
	var keys []string
	for row, err := range s.Rows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, row.Key)
		f, notes, err := row.File(s.Name(), time.Now())
		if err != nil || len(notes) > 0 || f.Size != int64(len(row.Key)) || f.Name != path.Base(row.Key) || time.Since(f.CreatedAt) > time.Hour {
			t.Errorf("row %+v: %+v, %q, %v", row, f, notes, err)
		}
	}
	want := slices.Clone(odd[:3])
	slices.Sort(want)
	slices.Sort(keys)
	if !slices.Equal(keys, want) {
		t.Errorf("rows %q, want %q", keys, want)
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	s := newSource(t, newBucket(t))
	check(t, s)
	for range s.Rows(t.Context()) {
		break // the listing ends with its reader
	}
}

// Supabase has its endpoint below a path, and signatures that cover the path.
func TestEndpointWithAPath(t *testing.T) {
	t.Parallel()
	o := newBucket(t)
	moved := s3test.NewBelowPath(t, s3store.Options{Endpoint: o.Endpoint, AccessKey: o.AccessKey, SecretKey: o.SecretKey})
	o.Endpoint, o.Region = moved.Endpoint, moved.Region
	s := newSource(t, o)
	if !strings.HasPrefix(s.Name(), "s3://"+o.Bucket+"/old") {
		t.Error(s.Name())
	}
	check(t, s)
	o.SecretKey = "wrong"
	if _, err := newSource(t, o).Open(t.Context(), "plain.txt"); !errors.Is(err, cas.ErrOriginUnavailable) {
		t.Errorf("with a wrong key: %v", err)
	}
}

func TestServersThatFail(t *testing.T) {
	t.Parallel()
	stalled := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path.Base(r.URL.Path) {
		case "refused":
			w.WriteHeader(http.StatusForbidden)
		case "broken":
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
		case "stalled":
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			<-stalled
		}
	}))
	defer server.Close()
	defer close(stalled)
	s := newSource(t, s3source.Options{Endpoint: server.URL, Bucket: "old", AccessKey: "someone", SecretKey: "hunter2secret", Timeout: 50 * time.Millisecond})
	if _, err := s.Open(t.Context(), "refused"); !errors.Is(err, cas.ErrOriginUnavailable) {
		t.Errorf("refused: %v", err)
	}
	for _, key := range []string{"broken", "stalled"} {
		object, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if _, err := io.ReadAll(object.Body); !errors.Is(err, cas.ErrOriginUnavailable) {
			t.Errorf("%s: %v", key, err)
		}
		object.Body.Close()
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // no server listens here any more
	away := newSource(t, s3source.Options{Endpoint: "http://" + ln.Addr().String(), Bucket: "old", AccessKey: "someone", SecretKey: "hunter2secret"})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	errs := []error{away.Check(ctx)}
	_, err = away.Open(ctx, "k")
	errs = append(errs, err)
	_, err = away.Stat(ctx, "k")
	errs = append(errs, err)
	for _, err := range away.Rows(ctx) {
		errs = append(errs, err)
	}
	if len(errs) != 4 {
		t.Errorf("%d errors", len(errs))
	}
	for _, err := range errs {
		if !errors.Is(err, cas.ErrOriginUnavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Error(err)
		}
	}
}

func TestNoSuchBucket(t *testing.T) {
	t.Parallel()
	o := newBucket(t)
	o.Bucket = "missing-bucket"
	s := newSource(t, o)
	if err := s.Check(t.Context()); !errors.Is(err, cas.ErrOriginUnavailable) {
		t.Errorf("check: %v", err)
	}
	if _, err := s.Open(t.Context(), "k"); !errors.Is(err, cas.ErrOriginUnavailable) {
		t.Errorf("open: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	good := s3source.Options{Endpoint: "https://s3.example.com", Bucket: "old", AccessKey: "a", SecretKey: "s", Prefix: "/a/b/"}
	s := newSource(t, good)
	if s.Name() != "s3://old/a/b" {
		t.Error(s.Name())
	}
	for name, spoil := range map[string]func(o *s3source.Options){
		"no endpoint":        func(o *s3source.Options) { o.Endpoint = "" },
		"no URL":             func(o *s3source.Options) { o.Endpoint = "s3.example.com" },
		"password in it":     func(o *s3source.Options) { o.Endpoint = "https://a:hunter2@s3.example.com" },
		"unparsable":         func(o *s3source.Options) { o.Endpoint = "https://a:hunter2%zz@s3.example.com" },
		"no bucket":          func(o *s3source.Options) { o.Bucket = "" },
		"no access key":      func(o *s3source.Options) { o.AccessKey = "" },
		"no secret key":      func(o *s3source.Options) { o.SecretKey = "" },
		"a query in the URL": func(o *s3source.Options) { o.Endpoint += "?x=y" },
	} {
		o := good
		spoil(&o)
		if _, err := s3source.New(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
