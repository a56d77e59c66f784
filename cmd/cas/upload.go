package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// putBatch is how many files are read before the gateway is asked which of them
// it lacks.
const putBatch = 256

// uploader stores files through a gateway.
type uploader struct {
	gateway  *client.Client
	stdin    io.Reader
	parallel int
	shown    *terminal.Progress
}

// store stores the items and finishes each. What stops it altogether, and fails
// the items left, it returns.
func (u *uploader) store(ctx context.Context, items []*putItem) error {
	var fatal error
	for batch := range slices.Chunk(items, putBatch) {
		if fatal == nil {
			fatal = u.storeBatch(ctx, batch)
		}
		for _, item := range batch {
			if !item.finished() {
				item.stopped = true
				item.finish(api.Blob{}, fatal)
			}
		}
	}
	return fatal
}

// storeBatch reads the files, asks which of them the gateway lacks, and sends
// those.
func (u *uploader) storeBatch(ctx context.Context, batch []*putItem) error {
	if err := u.each(ctx, batch, u.hash); err != nil {
		return err
	}
	var digests []cas.Digest
	for _, item := range batch {
		if !item.finished() && !item.streamed {
			digests = append(digests, item.source.Digest)
		}
	}
	missing, err := u.gateway.FindMissing(ctx, digests)
	if err != nil {
		return err
	}
	// Of files with the same bytes one goes ahead, so that the others find it there.
	lacking := map[cas.Digest]bool{}
	for _, d := range missing {
		lacking[d] = true
	}
	var first, rest []*putItem
	for _, item := range batch {
		switch {
		case item.streamed || lacking[item.source.Digest]:
			first = append(first, item)
			lacking[item.source.Digest] = false
		default:
			rest = append(rest, item)
		}
	}
	if err := u.each(ctx, first, u.send); err != nil {
		return err
	}
	return u.each(ctx, rest, u.recall)
}

// each does something for several items at once, but those finished. The item's
// own failures finish it; those that all others would share end everything.
func (u *uploader) each(ctx context.Context, items []*putItem, do func(context.Context, *putItem) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(u.parallel)
	for _, item := range items {
		if item.finished() {
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			err := do(ctx, item)
			switch {
			case err == nil:
				return nil
			case concernsAll(ctx, err):
				return err
			}
			item.finish(api.Blob{}, err)
			return nil
		})
	}
	return group.Wait()
}

// hash reads a file to learn its digest.
func (u *uploader) hash(ctx context.Context, item *putItem) error {
	if item.streamed {
		return nil
	}
	var err error
	item.source, err = client.NewSource(func() (io.ReadCloser, error) { return u.open(ctx, item.path, "reading") })
	return withoutPath(err)
}

// open opens a file, to be read until ctx is done.
func (u *uploader) open(ctx context.Context, path, verb string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	content := struct {
		io.Reader
		io.Closer
	}{contextReader{ctx, file}, file}
	return u.shown.Reader(content, terminal.Transfer{Verb: verb, Name: path, Size: info.Size()}), nil
}

// contextReader is a reader that ends when its context is done.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// send stores what the gateway lacks.
func (u *uploader) send(ctx context.Context, item *putItem) error {
	var blob api.Blob
	var err error
	if item.streamed {
		blob, err = u.stream(ctx, item)
	} else {
		item.source.Open = func() (io.ReadCloser, error) { return u.open(ctx, item.path, "sending") }
		blob, err = u.gateway.Put(ctx, item.source, item.options)
	}
	if err != nil {
		return withoutPath(err)
	}
	u.finish(item, blob)
	return nil
}

// recall gets what the gateway said to have; it may have gone meanwhile, or not
// have come after all. Copies are asked for by sending it: that sends few bytes, or
// none.
func (u *uploader) recall(ctx context.Context, item *putItem) error {
	if len(item.options.Providers) > 0 {
		return u.send(ctx, item)
	}
	meta, err := u.gateway.Meta(ctx, item.source.Digest)
	if errors.Is(err, cas.ErrBlobNotFound) || err == nil && meta.State != cas.StateLive {
		return u.send(ctx, item)
	}
	if err != nil {
		return err
	}
	meta.Blob.Deduplicated = new(true)
	u.finish(item, meta.Blob)
	return nil
}

// stream stores what can be read only once.
func (u *uploader) stream(ctx context.Context, item *putItem) (api.Blob, error) {
	var src io.ReadCloser
	if item.path == stdinPath {
		src = io.NopCloser(u.stdin)
	} else {
		file, err := os.Open(item.path)
		if err != nil {
			return api.Blob{}, err
		}
		src = file
	}
	src = u.shown.Reader(src, terminal.Transfer{Verb: "sending", Name: item.path, Size: -1})
	defer src.Close()
	return u.gateway.PutStream(ctx, src, item.options)
}

func (u *uploader) finish(item *putItem, blob api.Blob) {
	what := "stored"
	if blob.Deduplicated != nil && *blob.Deduplicated {
		what = "already there"
	}
	u.shown.Note("%-13s  %9s  %s", what, terminal.Size(blob.Size), terminal.Printable(item.path))
	item.finish(blob, nil)
}
