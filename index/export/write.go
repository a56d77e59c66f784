package export

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"

	"casgate/cas"
	"casgate/providers/ledger"
)

// pageSize is the number of rows of one read, and of one write on the way back.
const pageSize = 500

// WriteOptions are the options of Write.
type WriteOptions struct {
	StoreMark string       // of the object store; empty if it has none
	Progress  func(Counts) // called after each page; optional
}

// Write exports an index. It may run while gateways serve: a row is as it was when it was
// read. Blobs come last, so that each file and copy has the row of its blob in the
// export.
func Write(ctx context.Context, to io.Writer, x Source, o WriteOptions) (Counts, error) {
	mark, err := x.Mark(ctx)
	if err != nil {
		return Counts{}, err
	}
	if o.Progress == nil {
		o.Progress = func(Counts) {}
	}
	w := newWriter(to, o.Progress)
	w.write(line{Header: &Header{Version: version, CreatedAt: time.Now().UTC(), Mark: mark, StoreMark: o.StoreMark}})
	for _, kind := range []func() error{
		func() error {
			return pages(ctx, w, x.ExportFiles, func(f cas.File) (string, line) { l := fileLine(f); return f.ID, line{File: &l} })
		},
		func() error {
			return pages(ctx, w, x.ExportCopies, func(c ledger.Copy) (ledger.Key, line) { l := copyLine(c); return c.Key, line{Copy: &l} })
		},
		func() error {
			return pages(ctx, w, x.ExportTexts, func(t Text) (ledger.TextKey, line) { l := textLine(t); return t.TextKey, line{Text: &l} })
		},
		func() error {
			return pages(ctx, w, x.ExportBlobs, func(b Blob) (cas.Digest, line) { return b.Digest, line{Blob: lineOfBlob(b)} })
		},
	} {
		if err := kind(); err != nil {
			return w.counts, err
		}
	}
	end := trailer{Counts: w.counts}
	w.hash.Sum(end.SHA256[:0])
	w.write(line{Trailer: &end})
	if w.err == nil {
		w.err = w.buffer.Flush()
	}
	if w.err != nil {
		return w.counts, fmt.Errorf("write the export: %w", w.err)
	}
	return w.counts, nil
}

// pages writes all rows of a kind.
func pages[R, K any](ctx context.Context, w *writer, read func(ctx context.Context, after K, limit int) ([]R, error), convert func(R) (K, line)) error {
	var after K
	for {
		page, err := read(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, row := range page {
			var l line
			after, l = convert(row)
			w.write(l)
		}
		if w.err != nil {
			return fmt.Errorf("write the export: %w", w.err)
		}
		w.progress(w.counts)
		if len(page) < pageSize {
			return nil
		}
	}
}

// writer writes lines, and counts and hashes them. It keeps the first error.
type writer struct {
	buffer   *bufio.Writer
	hash     hash.Hash
	encoder  *json.Encoder
	progress func(Counts)
	counts   Counts
	err      error
}

func newWriter(to io.Writer, progress func(Counts)) *writer {
	w := &writer{buffer: bufio.NewWriterSize(to, 64<<10), hash: sha256.New(), progress: progress}
	w.encoder = json.NewEncoder(io.MultiWriter(w.buffer, w.hash))
	w.encoder.SetEscapeHTML(false)
	return w
}

func (w *writer) write(l line) {
	if w.err == nil {
		w.err = w.encoder.Encode(l)
		w.counts.count(l)
	}
}
