package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"casgate/cas"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// download fetches a blob into a file by way of a partial file beside it, which a
// later attempt goes on from.
type download struct {
	*origin
	info  client.Info
	path  string
	force bool
	shown *terminal.Progress

	partial *os.File
	have    int64 // how long the partial file is
}

// partialPath names the partial file. The digest keeps another blob's apart.
func (d *download) partialPath() string {
	return d.path + "." + d.digest.Short() + ".partial"
}

// run fetches the blob. The file appears under its name whole and right, or not
// at all.
func (d *download) run(ctx context.Context) error {
	unlock, err := d.openPartial()
	if err != nil {
		return err
	}
	defer unlock()
	if d.have > 0 {
		d.shown.Note("going on after %s of %s from %s", terminal.Size(d.have), terminal.Size(d.info.Size), terminal.Printable(d.partialPath()))
	}
	if err = d.fetch(ctx); err == nil {
		err = d.publish()
	}
	if err != nil {
		return d.leave(err)
	}
	return nil
}

// openPartial opens the partial file, for this process alone.
func (d *download) openPartial() (unlock func(), err error) {
	path := d.partialPath()
	d.partial, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	lock := flock.New(path)
	locked, err := lock.TryLock()
	if err != nil {
		d.partial.Close()
		return nil, fmt.Errorf("lock %s: %w", terminal.Printable(path), err)
	}
	unlock = func() {
		d.partial.Close()
		_ = lock.Unlock() // which can't fail but by closing the file, and the end closes it too
	}
	opened, err := d.partial.Stat()
	if err == nil {
		d.have = opened.Size()
		var now os.FileInfo
		// Whoever had the lock before may have finished the file.
		if now, err = lock.Stat(); err == nil && !os.SameFile(opened, now) {
			locked = false
		}
	}
	switch {
	case err != nil:
		unlock()
		return nil, err
	case !locked:
		unlock()
		return nil, fmt.Errorf("another cas get is fetching this blob to %s; wait for it, or give another name with -o", terminal.Printable(d.path))
	}
	return unlock, nil
}

// fetch fills the partial file. It goes on where a connection broke, as long as
// that brings more bytes, and starts over once where those that were there turn
// out to be wrong.
func (d *download) fetch(ctx context.Context) error {
	startedOver := false
	for {
		before := d.have
		err := d.fill(ctx)
		switch {
		case errors.Is(err, cas.ErrDigestMismatch) && before > 0 && !startedOver:
			startedOver = true
			d.shown.Note("the bytes in %s are not this blob's; starting over", terminal.Printable(d.partialPath()))
			d.have = 0
			if err := d.partial.Truncate(0); err != nil {
				return err
			}
			continue
		case !errors.Is(err, client.ErrUnreachable):
			return err
		}
		if err = d.explain(ctx, err); !errors.Is(err, client.ErrUnreachable) || d.have == before {
			return err
		}
		d.shown.Note("%v; going on", err)
	}
}

// fill fetches what the partial file lacks, and verifies the whole.
func (d *download) fill(ctx context.Context) error {
	if d.have > d.info.Size {
		return fmt.Errorf("%w: %d bytes are more than the blob's %d", cas.ErrDigestMismatch, d.have, d.info.Size)
	}
	rest := &rest{ctx: ctx, download: d, offset: d.have}
	defer rest.Close()
	var whole io.Reader = rest
	if d.have > 0 {
		// The bytes that are there are verified along with those to come.
		head := contextReader{ctx, io.NewSectionReader(d.partial, 0, d.have)}
		whole = cas.NewVerifyingReader(io.MultiReader(head, rest), d.digest, d.info.Size)
		if _, err := io.CopyN(io.Discard, whole, d.have); err != nil {
			return err
		}
	}
	n, err := io.Copy(io.NewOffsetWriter(d.partial, d.have), whole)
	d.have += n
	return err
}

// rest is what comes after the first bytes of a blob. It is asked for when it is
// first read.
type rest struct {
	*download
	ctx    context.Context // of the download
	offset int64
	body   io.ReadCloser
}

func (r *rest) Read(p []byte) (int, error) {
	if r.offset > 0 && r.offset == r.info.Size {
		return 0, io.EOF // the file was whole, and only lacked its name
	}
	if r.body == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	return r.body.Read(p)
}

func (r *rest) open() error {
	content, err := r.origin.open(r.ctx, r.offset)
	if err != nil {
		return err
	}
	r.body = r.shown.Reader(content.Body, terminal.Transfer{Verb: "fetching", Name: r.path, From: r.offset, Size: r.info.Size})
	if content.Offset < r.offset { // the gateway sends the whole
		_, err = io.CopyN(io.Discard, content.Body, r.offset)
	}
	return err
}

// Close ends the request, if there is one.
func (r *rest) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// leave decides about the partial file of a download that failed, and says how to
// go on.
func (d *download) leave(err error) error {
	if d.have > 0 && !errors.Is(err, cas.ErrDigestMismatch) && !errors.Is(err, cas.ErrObjectCorrupt) {
		return fmt.Errorf("%w; %s of %s are in %s, and the same command goes on from there",
			err, terminal.Size(d.have), terminal.Size(d.info.Size), terminal.Printable(d.partialPath()))
	}
	if removeErr := os.Remove(d.partialPath()); removeErr != nil {
		return fmt.Errorf("%w (and its partial file is left behind: %w)", err, removeErr)
	}
	return err
}

// publish gives the file its name, durably.
func (d *download) publish() error {
	if err := d.partial.Sync(); err != nil {
		return err
	}
	if err := place(d.partialPath(), d.path, d.force); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(d.path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// place gives a file its final name.
func place(from, to string, replace bool) error {
	if !replace {
		// A link, unlike a renaming, replaces nothing that came up meanwhile.
		err := os.Link(from, to)
		switch {
		case err == nil:
			return os.Remove(from)
		case errors.Is(err, fs.ErrExist):
			return existsError(to)
		}
		if _, err := os.Lstat(to); err == nil { // a file system without links
			return existsError(to)
		}
	}
	return os.Rename(from, to)
}
