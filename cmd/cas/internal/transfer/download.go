package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// Download fetches a blob into a file. The bytes go to a partial file beside it, from
// which a later attempt resumes.
type Download struct {
	*Origin
	Info  client.Info
	Path  string
	Force bool // replace the file at Path
	Shown *terminal.Progress

	partial *os.File
	have    int64 // size of the partial file
}

// partialPath names the partial file. Its name has the digest, so that each blob has its
// own.
func (d *Download) partialPath() string {
	folder, name := filepath.Split(d.Path)
	return folder + shortenName(name) + "." + d.Digest.Short() + partialExtension
}

// Run fetches the blob. The file gets its name only if it is complete and verified.
func (d *Download) Run(ctx context.Context) error {
	unlock, err := d.openPartial()
	if err != nil {
		return err
	}
	defer unlock()
	if d.have > 0 {
		d.Shown.Note("resuming after %s of %s from %s", terminal.Size(d.have), terminal.Size(d.Info.Size), terminal.Printable(d.partialPath()))
	}
	if err = d.fetch(ctx); err == nil {
		err = d.publish()
	}
	if err != nil {
		return d.leave(ctx, err)
	}
	return nil
}

// openPartial opens the partial file, for this process alone.
func (d *Download) openPartial() (unlock func(), err error) {
	path := d.partialPath()
	d.partial, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, naming(d.Path, err)
	}
	lock := flock.New(path)
	locked, err := lock.TryLock()
	if err != nil {
		d.partial.Close()
		return nil, fmt.Errorf("lock %s: %w", terminal.Printable(path), err)
	}
	unlock = func() {
		d.partial.Close()
		_ = lock.Unlock() // only closing the file can fail, and the end of the process closes it too
	}
	opened, err := d.partial.Stat()
	if err == nil {
		d.have = opened.Size()
		var now os.FileInfo
		// Another process may have had the lock before, and finished the file.
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
		return nil, fmt.Errorf("another cas get fetches this blob to %s; wait for it, or give another name with -o", terminal.Printable(d.Path))
	}
	return unlock, nil
}

// fetch fills the partial file. After a lost connection it resumes, as long as each
// attempt brings more bytes. If the bytes of the partial file were wrong, it starts again
// once. What fails at the object store is asked for at the gateway.
func (d *Download) fetch(ctx context.Context) error {
	startedOver := false
	for {
		before := d.have
		err := d.fill(ctx)
		// Bytes that were there before may be what is wrong.
		atStore := !(errors.Is(err, cas.ErrDigestMismatch) && before > 0) && d.readThroughGateway(err)
		switch {
		case atStore && errors.Is(err, cas.ErrDigestMismatch):
			d.Shown.Note("the object store sent wrong bytes; starting again, through the gateway")
			if err := d.startOver(); err != nil {
				return err
			}
			continue
		case errors.Is(err, cas.ErrDigestMismatch) && before > 0 && !startedOver:
			startedOver = true
			d.Shown.Note("the bytes in %s are not this blob's; starting again", terminal.Printable(d.partialPath()))
			if err := d.startOver(); err != nil {
				return err
			}
			continue
		case !errors.Is(err, client.ErrUnreachable):
			return err
		}
		if atStore {
			d.Shown.Note("%v; going on through the gateway", err)
			continue
		}
		if err = d.explain(ctx, err); !errors.Is(err, client.ErrUnreachable) || d.have == before {
			return err
		}
		d.Shown.Note("%v; resuming", err)
	}
}

// startOver empties the partial file.
func (d *Download) startOver() error {
	d.have = 0
	return d.partial.Truncate(0)
}

// fill fetches the missing bytes of the partial file, and verifies the whole.
func (d *Download) fill(ctx context.Context) error {
	if d.have > d.Info.Size {
		return fmt.Errorf("%w: %d bytes are more than the blob's %d", cas.ErrDigestMismatch, d.have, d.Info.Size)
	}
	rest := &rest{ctx: ctx, from: d.Origin, offset: d.have, size: d.Info.Size, bars: d.Shown, name: d.Path}
	defer rest.Close()
	// The bytes of the partial file are verified together with the new ones.
	head := ContextReader{ctx, io.NewSectionReader(d.partial, 0, d.have)}
	whole := cas.NewVerifyingReader(io.MultiReader(head, rest), d.Digest, d.Info.Size)
	if _, err := io.CopyN(io.Discard, whole, d.have); err != nil {
		return err
	}
	n, err := io.Copy(io.NewOffsetWriter(d.partial, d.have), whole)
	d.have += n
	return err
}

// leave keeps or removes the partial file of a failed download, and adds the next step
// to the error.
func (d *Download) leave(ctx context.Context, err error) error {
	if d.have > 0 && ctx.Err() != nil {
		return exit.With(exit.Interrupted, fmt.Errorf("%s of %s are in %s, and the same command resumes from there",
			terminal.Size(d.have), terminal.Size(d.Info.Size), terminal.Printable(d.partialPath())))
	}
	if d.have > 0 && !errors.Is(err, cas.ErrDigestMismatch) && !errors.Is(err, cas.ErrObjectCorrupt) {
		return fmt.Errorf("%w; %s of %s are in %s, and the same command resumes from there",
			err, terminal.Size(d.have), terminal.Size(d.Info.Size), terminal.Printable(d.partialPath()))
	}
	if removeErr := os.Remove(d.partialPath()); removeErr != nil {
		return fmt.Errorf("%w (and its partial file could not be removed: %w)", err, removeErr)
	}
	return err
}

// publish gives the file its name, durably.
func (d *Download) publish() error {
	if err := d.partial.Sync(); err != nil {
		return err
	}
	if err := place(d.partialPath(), d.Path, d.Force); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(d.Path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
