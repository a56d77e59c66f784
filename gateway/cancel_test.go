package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/providers"
)

// A caller that leaves does not stop the work of others.
func TestCancelledCallers(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		c := s.client()
		file := s.newFile("a.txt", "some text")

		// Two wait for one copy, and the first, whose request began the work, leaves.
		release := kimi.holdUploads(t)
		ctx, leave := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan api.Copy, 1)
		go func() {
			_, err := c.File(file.ID).EnsureCopy(ctx, "kimi", client.EnsureOptions{})
			first <- err
		}()
		eventually(t, "the upload", func() bool { return kimi.count(providers.OpUpload) == 1 })
		go func() {
			made, err := c.File(file.ID).EnsureCopy(t.Context(), "kimi", client.EnsureOptions{})
			if err != nil {
				t.Errorf("the caller that stayed: %v", err)
			}
			second <- made
		}()
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left: %v", err)
		}
		release()
		made := <-second
		if made.State != "ready" || kimi.count(providers.OpUpload) != 1 {
			t.Errorf("%+v, after %d uploads", made, kimi.count(providers.OpUpload))
		}

		// The work also goes on when no caller is left, and the next caller gets its result.
		release = kimi.holdUploads(t)
		ctx, leave = context.WithCancel(t.Context())
		other := s.newFile("b.txt", "other text")
		go func() {
			_, err := c.File(other.ID).EnsureCopy(ctx, "kimi", client.EnsureOptions{})
			first <- err
		}()
		eventually(t, "the upload", func() bool { return kimi.count(providers.OpUpload) == 2 })
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left: %v", err)
		}
		release()
		eventually(t, "the copy to be ready", func() bool {
			made, err := c.Blob(other.Digest()).Copy(t.Context(), "kimi", client.CopyOptions{})
			return err == nil && made.State == "ready"
		})

		// So does a delete.
		kimi.breaks(providers.OpDelete, &providers.Error{Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindTransient})
		ctx, leave = context.WithCancel(t.Context())
		go func() {
			_, err := c.File(other.ID).DeleteEverywhere(ctx, client.EverywhereOptions{})
			first <- err
		}()
		eventually(t, "the delete", func() bool { return kimi.count(providers.OpDelete) > 0 })
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left: %v", err)
		}
		kimi.breaks(providers.OpDelete, nil)
		eventually(t, "the copy to be gone", func() bool { return len(kimi.ids()) == 1 })
		wantNoPanic(t, s)
	})
}

// stalled is content that stops half-way until its reader leaves.
type stalled struct {
	io.Reader
	reached chan struct{}
	left    <-chan struct{}
}

func (e *stalled) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err == io.EOF {
		close(e.reached)
		<-e.left
		return 0, context.Canceled
	}
	return n, err
}

// An upload that its caller breaks off leaves nothing, and one of the same bytes
// beside it is not touched.
func TestCancelledUploads(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		c := s.client()
		content := random(5 << 20)
		half := content[:3<<20]
		ctx, leave := context.WithCancel(t.Context())
		body := &stalled{bytes.NewReader(half), make(chan struct{}), ctx.Done()}
		first := make(chan error, 1)
		go func() {
			_, err := c.CreateFile(ctx, body, client.NewFile{Name: "half.bin", Purpose: "user_data"})
			first <- err
		}()
		<-body.reached
		second, err := c.CreateFile(t.Context(), bytes.NewReader(content), client.NewFile{Name: "whole.bin", Purpose: "user_data"})
		if err != nil || second.Digest() != cas.DigestOf(content) {
			t.Errorf("the caller that stayed: %+v, %v", second, err)
		}
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left: %v", err)
		}
		s.stop() // after which no request is under way
		if n := s.blobCount(); n != 1 {
			t.Errorf("there are %d blobs", n)
		}
		files, err := p.index.ListFiles(t.Context(), cas.FileQuery{Limit: 10})
		if err != nil || len(files) != 1 || files[0].ID != second.ID {
			t.Errorf("%+v, %v", files, err)
		}
		if _, err := p.objects.Open(t.Context(), cas.ObjectRef{Digest: cas.DigestOf(half)}, 0, int64(len(half))); !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("the half: %v", err)
		}
	})
}
