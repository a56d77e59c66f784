package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// batchSize is how many files are hashed before the gateway is asked which of them it
// lacks.
const batchSize = 256

// Uploader stores items at a gateway.
type Uploader struct {
	Gateway  *client.Client
	Parallel int // how many items at once
	Shown    *terminal.Progress
	DryRun   bool // send nothing
	// Verbose notes each of many files. Otherwise a bar shows all of them, and a note at the
	// end sums them up.
	Verbose bool

	work  *work
	total int
}

// Store stores the items and finishes each of them. It returns an error only if it had
// to stop early; the remaining items then fail with it.
func (u *Uploader) Store(ctx context.Context, items []*Item) error {
	u.work, u.total = newWork(u.Shown, items), len(items)
	defer u.work.end(u)
	var fatal error
	for batch := range slices.Chunk(items, batchSize) {
		if fatal == nil {
			fatal = u.storeBatch(ctx, batch)
		}
		for _, item := range batch {
			if !item.finished() {
				item.Stopped = true
				item.Finish(api.Blob{}, Undone(fatal))
			}
		}
	}
	return Stopped(fatal, items)
}

// Stops reports whether the other uploads of so many would fail with the same error, as all
// do once the gateway has no room.
func Stops(ctx context.Context, err error, total int) bool {
	return report.StopsAll(ctx, err) || total > 1 && errors.Is(err, cas.ErrNoSpace)
}

// Undone returns the error of a file that was not tried, since others had this error. Want of
// room is the error of those that were tried, each with an operation of its own. So is the
// operation of any other refusal.
func Undone(err error) error {
	if errors.Is(err, cas.ErrNoSpace) {
		return errors.New("left undone: the gateway has no room")
	}
	if answer, ok := errors.AsType[*client.Error](err); ok {
		others := *answer
		others.Problem.OperationID = ""
		return fmt.Errorf("left undone: %w", &others)
	}
	return err
}

// Stopped returns the error of uploads that stopped early. For want of room it says how far
// they came, and has the exit code for that.
func Stopped(err error, items []*Item) error {
	if !errors.Is(err, cas.ErrNoSpace) {
		return err
	}
	stored := 0
	for _, item := range items {
		if item.Err == nil {
			stored++
		}
	}
	err = fmt.Errorf("%w; stopped with %d of %d files stored; the same command goes on when there is room", err, stored, len(items))
	if stored > 0 {
		return exit.With(exit.Partly, err)
	}
	return err
}

// storeBatch hashes the files, asks which of them the gateway lacks, and sends those.
func (u *Uploader) storeBatch(ctx context.Context, batch []*Item) error {
	if err := u.each(ctx, batch, u.hash); err != nil {
		return err
	}
	var digests []cas.Digest
	for _, item := range batch {
		if !item.finished() && u.hashes(item) {
			digests = append(digests, item.source.Digest)
		}
	}
	found, err := u.Gateway.FindPresent(ctx, digests)
	if err != nil {
		return err
	}
	present := map[cas.Digest]api.Blob{}
	for _, b := range found.Present {
		present[b.Digest] = b
	}
	// One of several files with the same bytes is sent first; the others then find it
	// there.
	lacking := map[cas.Digest]bool{}
	for _, d := range found.Missing {
		lacking[d] = true
	}
	var first, rest []*Item
	for _, item := range batch {
		known, isKnown := present[item.source.Digest]
		switch {
		case item.finished():
		case u.DryRun:
			u.finishDry(item, known, lacking)
		case isKnown && len(item.Options.Providers) == 0 && !item.Streamed && len(item.Unlike(known)) == 0:
			known.Deduplicated = new(true)
			u.finish(item, known)
		case item.Streamed || lacking[item.source.Digest]:
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

// each calls do for the unfinished items, several at once. An error of one item finishes
// that item. After an error that all items would get no other item begins; those that have
// begun end by themselves, since the gateway may have stored what they sent.
func (u *Uploader) each(ctx context.Context, items []*Item, do func(context.Context, *Item) error) error {
	var group errgroup.Group
	var stopped atomic.Bool
	group.SetLimit(u.Parallel)
	for _, item := range items {
		if item.finished() {
			continue
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if stopped.Load() {
				return nil
			}
			err := do(ctx, item)
			if err == nil {
				return nil
			}
			if !Stops(ctx, err, u.total) {
				item.Finish(api.Blob{}, err)
				return nil
			}
			stopped.Store(true)
			item.Stopped = true
			item.Finish(api.Blob{}, err)
			return err
		})
	}
	return group.Wait()
}

// hashes reports whether an item is hashed before it is sent. What can be read only once is
// hashed only where it is not to be sent.
func (u *Uploader) hashes(item *Item) bool { return u.DryRun || !item.Streamed }

// hash reads a file and sets its digest.
func (u *Uploader) hash(ctx context.Context, item *Item) error {
	if !u.hashes(item) {
		return nil
	}
	open := func() (io.ReadCloser, error) { return u.Open(ctx, item.Path, "reading") }
	if item.Streamed {
		open = func() (io.ReadCloser, error) { return u.openStreamUntil(ctx, item.Path) }
	}
	var err error
	item.source, err = client.NewSource(open)
	if err == nil {
		u.work.hashed(item)
	}
	return WithoutPath(err)
}

// Open opens a file on this machine. Reads fail after ctx is done.
func (u *Uploader) Open(ctx context.Context, path, verb string) (io.ReadCloser, error) {
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
	}{ContextReader{ctx, file}, file}
	if u.work.isMany() && info.Size() < ownBar {
		return content, nil
	}
	return u.Shown.Reader(content, terminal.Transfer{Verb: verb, Name: path, Size: info.Size()}), nil
}

// OpenStream opens what can be read only once: standard input, or a file that is not regular.
// The open of a pipe waits for a writer; it ends with ctx.
func (u *Uploader) OpenStream(ctx context.Context, path string) (io.ReadCloser, error) {
	src, err := u.openOnce(ctx, path)
	if err != nil {
		return nil, err
	}
	return u.Shown.Reader(src, terminal.Transfer{Verb: "sending", Name: path, Size: -1}), nil
}

// openStreamUntil is OpenStream for a hash. Reads end with ctx, also those that wait for bytes.
func (u *Uploader) openStreamUntil(ctx context.Context, path string) (io.ReadCloser, error) {
	src, err := u.openOnce(ctx, path)
	if err != nil {
		return nil, err
	}
	content := struct {
		io.Reader
		io.Closer
	}{terminal.ReaderUntil(ctx, src), src}
	return u.Shown.Reader(content, terminal.Transfer{Verb: "reading", Name: path, Size: -1}), nil
}

func (u *Uploader) openOnce(ctx context.Context, path string) (io.ReadCloser, error) {
	if path == argument.StdinPath {
		return io.NopCloser(u.Shown.Streams().In), nil
	}
	defer u.Shown.Waiting("opening", path)()
	return openWithin(ctx, path)
}

// openWithin is os.Open that ends with ctx.
func openWithin(ctx context.Context, path string) (*os.File, error) {
	type opened struct {
		file *os.File
		err  error
	}
	ready := make(chan opened, 1)
	go func() {
		file, err := os.Open(path)
		ready <- opened{file, err}
	}()
	select {
	case o := <-ready:
		return o.file, o.err
	case <-ctx.Done(): // the process ends, and the open with it
		return nil, context.Cause(ctx)
	}
}

// send stores an item that the gateway lacks.
func (u *Uploader) send(ctx context.Context, item *Item) error {
	var blob api.Blob
	var err error
	if item.Streamed {
		blob, err = u.stream(ctx, item)
	} else {
		item.source.Open = func() (io.ReadCloser, error) { return u.Open(ctx, item.Path, "sending") }
		blob, err = u.Gateway.Put(ctx, item.source, item.Options)
	}
	if err != nil {
		return WithoutPath(err)
	}
	u.finish(item, blob)
	return nil
}

// recall gets a blob that the gateway said to have. If the blob is gone meanwhile, it
// sends the file. It also sends the file if copies are asked for, or if the blob is unlike
// what is asked for, since an upload may change that; it sends few bytes, or none.
func (u *Uploader) recall(ctx context.Context, item *Item) error {
	if len(item.Options.Providers) > 0 {
		return u.send(ctx, item)
	}
	meta, err := u.Gateway.Blob(item.source.Digest).Meta(ctx)
	if errors.Is(err, cas.ErrBlobNotFound) || err == nil && (meta.State != cas.StateLive || len(item.Unlike(meta.Blob)) > 0) {
		return u.send(ctx, item)
	}
	if err != nil {
		return err
	}
	meta.Blob.Deduplicated = new(true)
	u.finish(item, meta.Blob)
	return nil
}

// stream stores an item that can be read only once.
func (u *Uploader) stream(ctx context.Context, item *Item) (api.Blob, error) {
	src, err := u.OpenStream(ctx, item.Path)
	if err != nil {
		return api.Blob{}, err
	}
	defer src.Close()
	return u.Gateway.PutStream(ctx, src, item.Options)
}

// finishDry finishes an item of a dry run. The bytes of several files would be sent once.
func (u *Uploader) finishDry(item *Item, present api.Blob, lacking map[cas.Digest]bool) {
	if err := cas.CheckText("name", item.Options.Name); err != nil {
		item.Finish(api.Blob{}, exit.With(exit.Usage, err)) // as the gateway's refusal
		return
	}
	d := item.source.Digest
	item.WouldSend = item.Streamed || lacking[d]
	lacking[d] = false
	if present.Digest != d || item.Streamed {
		present = api.Blob{Digest: d, Size: item.source.Size}
	}
	result := known
	if item.WouldSend {
		result = wouldBeSent
	}
	u.note(result, terminal.Size(present.Size), item)
	item.Finish(present, nil)
}

func (u *Uploader) finish(item *Item, blob api.Blob) {
	result := ResultStored
	if blob.Deduplicated != nil && *blob.Deduplicated {
		result = ResultAlreadyThere
	}
	u.note(result, terminal.SizeAt(blob.Size, blob.CreatedAt), item)
	item.Finish(blob, nil)
}

// note counts the result of an item, and notes it if there are few.
func (u *Uploader) note(result, size string, item *Item) {
	u.work.finished(result, item)
	if !u.work.isMany() || u.Verbose {
		u.Shown.Note("%-13s  %9s  %s", result, size, terminal.Printable(item.Path))
	}
}

// StoreArgument stores the content of an argument if it is a file on this machine. It
// returns what then has copies, and the name to ask for them with, which may be empty.
// The provider is checked first; empty: any.
func (u *Uploader) StoreArgument(ctx context.Context, content argument.Content, name, provider string) (owner Owner, askName string, err error) {
	item, err := NewItem(ctx, u.Gateway, content, name)
	if err != nil {
		return Owner{}, "", err
	}
	items := []*Item{item}
	if provider != "" {
		if err := CheckProviders(ctx, u.Gateway, items, []string{provider}); err != nil {
			return Owner{}, "", err
		}
	}
	if err := u.Store(ctx, items); err != nil {
		return Owner{}, "", err
	}
	if item.Err != nil {
		return Owner{}, "", fmt.Errorf("%s: %w", terminal.Printable(item.Path), item.Err)
	}
	return item.Owner(u.Gateway), item.Options.Name, nil
}
