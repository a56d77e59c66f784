package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

func (s *server) client() *client.Client {
	s.t.Helper()
	c, err := client.New(s.url, client.Options{Token: s.token, Retries: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	castest.Cleanup(s.t, c.Close)
	return c
}

// A declared size is checked against the limit before anything is sent, and against
// the bytes later.
func TestFilesOfAKnownSize(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), func(_ *gatewayOptions, o *cas.Options) { o.MaxBlobSize = 4 << 20 })
	c := s.client()
	untouched := readerFunc(func([]byte) (int, error) {
		t.Error("it was read although it is too large")
		return 0, io.EOF
	})
	if _, err := c.CreateFile(t.Context(), untouched, client.NewFile{Name: "x", Purpose: "batch", Size: 10 << 20}); !errors.Is(err, cas.ErrBlobTooLarge) {
		t.Errorf("too large: %v", err)
	}
	content := random(1 << 20)
	for _, size := range []int64{1<<20 - 1, 1<<20 + 1, 1, 3 << 20} {
		_, err := c.CreateFile(t.Context(), bytes.NewReader(content), client.NewFile{Name: "x", Purpose: "batch", Size: size})
		if err == nil || !strings.Contains(err.Error(), "did it change?") || errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%d bytes, said to be %d: %v", len(content), size, err)
		}
	}
	eventually(t, "the gateway to finish the upload that broke off", func() bool { return s.fileCount() == 0 && s.blobCount() == 0 })
	for _, size := range []int64{0, 1 << 20} {
		made, err := c.CreateFile(t.Context(), bytes.NewReader(content), client.NewFile{Name: "x", Purpose: "batch", Size: size})
		if err != nil || made.Digest() != cas.DigestOf(content) {
			t.Errorf("said to be %d: %+v, %v", size, made, err)
		}
	}
	if n := s.fileCount(); n != 2 {
		t.Errorf("%d files", n)
	}
}

func TestFilesByTheGoClient(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		c := s.client()
		ctx := t.Context()
		content := random(3 << 20)
		made, err := c.CreateFile(ctx, bytes.NewReader(content), client.NewFile{
			Name: `Größe "1".bin`, Purpose: "user_data", MediaType: "application/x-thing", Context: "here", Tags: []string{"a", "b"},
			Metadata: json.RawMessage(`{"k":[1]}`), Life: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		if made.Filename != `Größe "1".bin` || made.Bytes != 3<<20 || made.MediaType != "application/x-thing" || made.Context != "here" ||
			len(made.Tags) != 2 || made.ExpiresAt == 0 || made.Digest() != cas.DigestOf(content) {
			t.Errorf("%+v", made)
		}
		if got, err := c.File(made.ID).Meta(ctx); err != nil || got.ID != made.ID {
			t.Errorf("%+v, %v", got, err)
		}
		for _, offset := range []int64{0, 2 << 20} {
			opened, err := c.File(made.ID).Open(ctx, offset)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(opened.Body)
			opened.Body.Close()
			if err != nil || !bytes.Equal(got, content[offset:]) || opened.Size != 3<<20 || opened.Offset != offset || opened.Name != made.Filename {
				t.Errorf("from %d: %d bytes, %+v, %v", offset, len(got), opened.Info, err)
			}
		}

		_, err = c.CreateFile(ctx, bytes.NewReader(content), client.NewFile{Name: "again.bin", Purpose: "user_data", Unique: true})
		e, ok := errors.AsType[*client.Error](err)
		if !errors.Is(err, cas.ErrDuplicateFile) || !ok || e.File == nil || e.File.ID != made.ID || e.Problem.Status != 409 || e.Problem.OperationID == "" {
			t.Errorf("a duplicate: %v", err)
		}
		_, err = c.CreateFile(ctx, strings.NewReader("x"), client.NewFile{Name: "x", Purpose: "dance"})
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Problem.Param != "purpose" || e.Problem.Code != problem.InvalidRequest {
			t.Errorf("a wrong purpose: %v", err)
		}

		ids := p.importMany(t, 250, "batch")
		for _, descending := range []bool{false, true} {
			var got []string
			for f, err := range c.Files(ctx, client.FileListOptions{Purpose: "batch", PageSize: 60, Descending: descending}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, f.ID)
			}
			if descending {
				slices.Reverse(got)
			}
			if !slices.Equal(got, ids) {
				t.Errorf("descending %t: %d of %d files", descending, len(got), len(ids))
			}
		}
		count := 0
		for f, err := range c.Files(ctx, client.FileListOptions{Tag: "b", Context: "here", NamePrefix: "Gr", Digest: new(made.Digest()), Metadata: json.RawMessage(`{"k":[1]}`)}) {
			if err != nil || f.ID != made.ID {
				t.Errorf("%+v, %v", f, err)
			}
			count++
		}
		if count != 1 {
			t.Errorf("%d files found", count)
		}

		if err := c.File(made.ID).Delete(ctx); err != nil {
			t.Error(err)
		}
		if err := c.File(made.ID).Delete(ctx); !errors.Is(err, cas.ErrFileNotFound) {
			t.Errorf("again: %v", err)
		}
		if _, err := c.File(made.ID).Open(ctx, 0); !errors.Is(err, cas.ErrFileNotFound) {
			t.Errorf("its content: %v", err)
		}
	})
}
