package localtier

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore"
)

const (
	// maxUnread limits the fills that go on although nobody reads them.
	maxUnread = 16
)

// errFolder says that the folder failed: the reader goes on with the object itself.
var errFolder = errors.New("the folder of the local tier failed")

func partOf(ref cas.ObjectRef) folderstore.Part { return folderstore.PartOf(ref) }

// fill makes a copy of an object. Its readers read the file on disk while it grows. A reader that
// needs bytes which nobody has fetched yet fetches them itself, into its own buffer: so they pass
// through the process once, and nobody is woken for them. If no reader does that for a while, the
// fill's own goroutine goes on (see drive): a slow reader does not hold up the others.
type fill struct {
	t       *Tier
	e       *entry
	ctx     context.Context
	cancel  context.CancelFunc
	began   time.Time
	deletes int // the entry's, when the fill began
	// isFresh: the bytes come from the object itself, and not from an upload.
	isFresh bool

	// Guarded by t.mu.
	isUnread   bool // counted in t.unread
	isDetached bool // it has no new readers
	counted    bool // the next reader was counted as a miss

	opened chan struct{} // closed when the next fields are set
	// openErr: the object can't be opened. If it is nil and draft is nil, no copy can be made.
	openErr error
	draft   *folderstore.Draft
	size    int64
	src     io.Reader // the object; used by the one that fetches

	// called has a value when drive has something to look at.
	called chan struct{}

	mu         sync.Mutex
	changed    chan struct{} // closed at the next change; nil: nobody waits
	pass       *cas.Object   // open object without a copy, until a reader takes it over
	isTaken    bool          // a reader has taken it over, and cancels the fill
	readers    int
	isRunning  bool
	isFetching bool // somebody reads src, and writes to the draft
	isAsked    bool // a reader needs bytes, and can't fetch them
	isAwaited  bool // a reader that could fetch waits for the one that does
	written    int64
	err        error // ends the bytes after written
	isWhole    bool
	isVerified bool
	published  bool
}

// newFill returns a fill that is running. It has a use of the entry, and a reader's place.
// The caller holds t.mu.
func (t *Tier) newFill(e *entry) *fill {
	f := &fill{t: t, e: e, began: time.Now(), deletes: e.deletes, opened: make(chan struct{}), called: make(chan struct{}, 1), isRunning: true}
	f.ctx, f.cancel = context.WithCancel(t.ctx)
	e.users++
	e.readers++
	return f
}

// startFill begins to make a copy of an object. The caller holds t.mu.
func (t *Tier) startFill(e *entry) *fill {
	f := t.newFill(e)
	f.isFresh = true
	e.fill = f
	t.work.Go(f.run)
	return f
}

// run makes the copy.
func (f *fill) run() {
	defer f.finish()
	object, err := f.t.inner.Open(f.ctx, f.e.ref, 0, -1)
	if err != nil {
		f.openErr = err
		f.detach()
		close(f.opened)
		return
	}
	if !f.create(object.Size) {
		f.pass = &object
		f.detach()
		close(f.opened)
		return
	}
	f.src = object.Body
	close(f.opened)
	f.stopUnread()
	err = f.drive()
	object.Body.Close()
	if err != nil {
		f.detach()
		f.stop(err)
		return
	}
	if f.isRight() {
		f.publish()
	}
	f.detach()
}

// create reserves the room, and creates the draft.
func (f *fill) create(size int64) bool {
	room := &reservation{ref: f.e.ref, size: size}
	if !f.t.reserve(room) {
		f.t.counts.refused.Add(1)
		return false
	}
	draft, err := room.draft, error(nil)
	if draft == nil {
		draft, err = f.t.folder.NewDraft()
	}
	if err == nil {
		if err = draft.Reserve(size); err != nil {
			draft.Discard()
		}
	}
	if err != nil {
		f.t.mu.Lock()
		defer f.t.mu.Unlock()
		f.t.free(f.e.ref, size)
		f.t.fault("create a copy", err)
		return false
	}
	f.draft, f.size = draft, size
	return true
}

// change changes what readers wait for, and wakes them.
func (f *fill) change(apply func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	apply()
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// stop ends the bytes with an error.
func (f *fill) stop(err error) { f.change(func() { f.err = err }) }

func (f *fill) setVerified() { f.change(func() { f.isVerified = true }) }

// waiting returns a channel that is closed at the next change. The caller holds f.mu.
func (f *fill) waiting() <-chan struct{} {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// reaches reports whether a reader at offset need not wait for long.
func (f *fill) reaches(offset int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return offset <= f.written+ahead
}

// isRight waits until a reader has verified the bytes. If no reader is left, it verifies
// them itself.
func (f *fill) isRight() bool {
	for {
		f.mu.Lock()
		isVerified, readers, changed := f.isVerified, f.readers, f.waiting()
		f.mu.Unlock()
		switch {
		case isVerified:
			return true
		case f.ctx.Err() != nil || f.isRemoved():
			return false
		case readers == 0:
			return f.verify()
		}
		select {
		case <-changed:
		case <-f.ctx.Done():
		}
	}
}

// isRemoved reports whether the object's copies were removed since the fill began.
func (f *fill) isRemoved() bool {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	return f.e.barred > 0 || f.e.deletes != f.deletes
}

// verify reads the copy.
func (f *fill) verify() bool {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	bytes := cas.NewVerifyingReader(io.NewSectionReader(f.draft.File, 0, f.size), f.e.ref.Digest, f.size)
	var err error
	for err == nil {
		if f.ctx.Err() != nil {
			return false // the tier closes
		}
		_, err = bytes.Read(buffer[:])
	}
	switch {
	case err == io.EOF:
		return true
	case errors.Is(err, cas.ErrDigestMismatch):
		f.t.doubt(f.e.ref)
		f.t.blame(f.e.ref, f.size, err)
	default:
		f.t.failed("read a copy", err)
	}
	return false
}

// blame finds out whether an object of which a wrong copy was made is wrong itself. No reader
// has seen that.
func (t *Tier) blame(ref cas.ObjectRef, size int64, cause error) {
	object, err := t.inner.Open(t.ctx, ref, 0, -1)
	if err == nil {
		_, err = io.Copy(io.Discard, cas.NewVerifyingReader(object.Body, ref.Digest, size))
		object.Body.Close()
	}
	switch {
	case err == nil:
		t.counts.damaged.Add(1)
		t.log.Warn().Err(cause).Str("object", ref.Key()).Msg("a copy for the local tier had wrong bytes, and the object is right; look at the disk")
	case errors.Is(err, cas.ErrDigestMismatch) || errors.Is(err, cas.ErrObjectCorrupt):
		t.log.Error().Err(err).Str("digest", ref.Digest.String()).Str("object", ref.Key()).
			Msg("object is damaged, as a copy of it showed; uploading the blob again repairs it")
		select {
		case t.damaged <- ref:
		default: // the next reader finds it
		}
	default:
		t.log.Warn().Err(cause).AnErr("again", err).Str("object", ref.Key()).
			Msg("a copy for the local tier had wrong bytes; whether the object is right is not known, since it can't be read again")
	}
}

// publish makes the draft the copy of the object, unless that was removed since the fill
// began.
func (f *fill) publish() {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.e.barred > 0 || f.e.deletes != f.deletes || !t.remove(f.e) {
		return
	}
	if err := f.draft.Publish(f.e.ref, folderstore.Passing); err != nil {
		t.fault("publish a copy", err)
		return
	}
	f.published = true
	if f.size >= slowSize && len(t.private) < maxPrivate {
		t.private[f.e.ref] = true
	}
	t.record.use(f.e.ref)
	t.counts.fills.Add(1)
}

// detach makes the fill end for new readers. The caller writes nothing any more.
func (f *fill) detach() {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.isDetached = true
	if f.e.fill == f {
		f.e.fill = nil
	}
	f.setRead()
}

// setRead says that the fill doesn't go on without a reader. The caller holds t.mu.
func (f *fill) setRead() {
	if f.isUnread {
		f.isUnread = false
		f.t.unread--
	}
}

// join adds a reader. The caller holds t.mu.
func (f *fill) join() {
	f.setRead()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
}

// leave removes a reader.
func (f *fill) leave() {
	f.change(func() {
		if f.readers--; f.readers == 0 {
			f.call()
		}
	})
	f.t.mu.Lock()
	f.mu.Lock()
	if f.readers == 0 && f.isRunning && !f.isWhole && !f.isDetached {
		if f.isLarge() || f.t.unread >= maxUnread {
			f.abandon()
		} else if !f.isUnread {
			f.isUnread = true
			f.t.unread++
		}
	}
	f.mu.Unlock()
	f.t.mu.Unlock()
	f.closeUnused()
}

// forsake ends the fill of a large object whose only reader is gone while it fetches. A reader of
// a small object, or one that fetches for others too, can leave only when the store has answered.
func (f *fill) forsake() {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers == 1 && f.isRunning && !f.isWhole && !f.isDetached && f.isLarge() {
		f.abandon()
	}
}

// stopUnread ends a fill whose readers have left before anybody knew that the object is large.
func (f *fill) stopUnread() {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if f.isUnread && f.isLarge() {
		f.abandon()
	}
}

// abandon ends a fill that nobody reads. The caller holds t.mu.
func (f *fill) abandon() {
	f.cancel()
	if f.e.fill == f {
		f.e.fill = nil // a new reader must not join it
	}
}

// isLarge reports whether the object is too large to be fetched for nobody.
func (f *fill) isLarge() bool {
	select {
	case <-f.opened:
		return f.size >= f.t.fillLimit
	default:
		return false // nobody knows yet
	}
}

// finish says that nothing is written any more.
func (f *fill) finish() {
	f.change(func() { f.isRunning = false })
	f.closeUnused()
}

// closeUnused closes the draft after its last use. It removes a draft that was not
// published.
func (f *fill) closeUnused() {
	f.mu.Lock()
	if f.isRunning || f.readers > 0 {
		f.mu.Unlock()
		return
	}
	f.isRunning = true // so that it is done once
	pass, isTaken := f.pass, f.isTaken
	f.pass = nil
	f.mu.Unlock()
	if pass != nil {
		pass.Body.Close()
	}
	if !isTaken {
		f.cancel()
	}
	if f.draft != nil {
		f.draft.Discard()
	}
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if f.draft != nil && !f.published {
		f.t.free(f.e.ref, f.size)
	}
	f.t.closed(f.e)
}

// takeOver returns the open object, if no other reader has taken it over.
func (f *fill) takeOver(ctx context.Context, offset, length int64) (cas.Object, bool) {
	if offset > 0 || length >= 0 {
		return cas.Object{}, false
	}
	f.mu.Lock()
	pass := f.pass
	f.pass, f.isTaken = nil, f.isTaken || pass != nil
	f.mu.Unlock()
	if pass == nil {
		return cas.Object{}, false
	}
	stop := context.AfterFunc(ctx, f.cancel)
	pass.Body = &passedBody{pass.Body, func() { stop(); f.cancel() }}
	return *pass, true
}

// passedBody is the body of an object of which no copy is made.
type passedBody struct {
	io.ReadCloser
	closed func()
}

// Close implements io.Closer.
func (b *passedBody) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}
