// Package localtier keeps copies of objects in a folder on a local disk, in front of an
// object store that is farther away. It is an object store itself.
//
// The copies are made of what passes through: uploads, and reads of whole objects. They lie
// as in a folderstore, and the package's own record of uses beside them (see record.go)
// says how many bytes there are, and what was used recently. The bytes never exceed the limit: a copy's
// room is reserved before its first byte is written, and freed when no reader has the disk
// file open any more.
//
// A copy is published only after its bytes were verified, by the reader that they were read for,
// or by the tier itself. A fault of the local disk costs speed only: a read goes on with the
// object itself.
package localtier

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/folderstore"
)

const (
	// lockName and recordName are the files on disk beside the copies.
	lockName   = "lock"
	recordName = "uses"
	// pause is how long no copy is made after the folder failed.
	pause = 10 * time.Second
	// doubtFor is how long an object whose copy was damaged is read without the tier.
	doubtFor = 10 * time.Minute
	// maxDoubted limits the objects in doubt that are remembered.
	maxDoubted = 1000
	// faultLogEvery limits the log lines about a folder that fails.
	faultLogEvery = time.Minute
)

// ErrInUse says that another process uses the folder.
var ErrInUse = errors.New("another process uses the folder of the local tier")

// Options configures a Tier.
type Options struct {
	// Dir is the folder; it is created if it is missing. Each process needs its own. A folder
	// with anything else in it is refused with ErrForeignFolder.
	Dir string
	// Size limits the bytes of all copies together.
	Size int64
	// FillLimit is the size below which an object is fetched whole when only a range of it
	// is read, or when its reader has left. With 0 none is.
	FillLimit int64
	// Owner names the gateway, see Look. Others have other names.
	Owner string
	// Log gets faults of the folder.
	Log zerolog.Logger
}

// Tier is an object store with copies in a local folder. It is safe for concurrent use.
type Tier struct {
	inner     cas.ObjectStore
	folder    *folderstore.Store
	lock      *flock.Flock
	limit     int64
	fillLimit int64
	log       zerolog.Logger
	counts    counts

	ctx    context.Context // done when the tier closes
	cancel context.CancelFunc
	work   sync.WaitGroup // fills, and other work in the background

	changed chan cas.Digest    // blobs to look at, see Changed
	damaged chan cas.ObjectRef // objects with wrong bytes, which Run tells the index of

	mu      sync.Mutex
	record  *record
	used    int64 // bytes reserved
	entries map[cas.ObjectRef]*entry
	inPart  map[folderstore.Part]int // entries of a part
	unread  int                      // fills without readers
	doubted map[cas.ObjectRef]time.Time
	// private are large copies of whose files on disk the kernel has sent nothing: this process has
	// made them, and only read them since. So another copy may be written over them. The kernel sends
	// from the very pages of a file, also after the reader has closed it: for the others a slow client
	// would get other bytes.
	private map[cas.ObjectRef]bool
	resume  time.Time // when copies may be made again
	logged  time.Time // when a fault was last logged
	// isReady: the copies that the start found too many are gone, so that new ones may be made.
	isReady bool

	evicting chan struct{} // one goroutine evicts at a time: it has sent a value, and receives it then
	pool     []candidate
	hand     folderstore.Part // the next one to look for candidates in
}

var _ cas.ObjectStore = (*Tier)(nil)

// entry is an object that is in use: it is being read, written or removed.
type entry struct {
	ref   cas.ObjectRef
	users int // goroutines and bodies that have the entry
	fill  *fill
	// readers is the number of bodies that have the copy's file on disk open.
	readers int
	// ghosts are the bytes of files on disk that were removed and are still open.
	ghosts int64
	// barred: the copy is being removed, so that none is opened or published.
	barred int
	// deletes counts the removals: what began before one is not published after it.
	deletes int
}

// New opens a tier in front of an object store. The caller closes the tier before the store.
func New(inner cas.ObjectStore, o Options) (*Tier, error) {
	if runtime.GOOS == "windows" {
		return nil, errors.New("a local tier is not possible on Windows: an open file can't be renamed there")
	}
	if o.Size <= 0 {
		return nil, fmt.Errorf("a local tier of %d bytes holds nothing", o.Size)
	}
	wasOurs, err := claim(o.Dir)
	var t *Tier
	if err == nil {
		t, err = openClaimed(inner, o)
	}
	if wasOurs && isOfDisk(err) {
		err = fmt.Errorf("%w: %w", ErrDiskFails, explain(err))
	}
	if err != nil {
		return nil, fmt.Errorf("open the local tier in %s: %w", o.Dir, err)
	}
	return t, nil
}

// openClaimed opens a tier in a folder with the mark.
func openClaimed(inner cas.ObjectStore, o Options) (*Tier, error) {
	folder, err := folderstore.Open(o.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := acquireLock(o.Dir)
	if err != nil {
		folder.Close()
		return nil, err
	}
	t := &Tier{
		inner: inner, folder: folder, lock: lock, limit: o.Size, fillLimit: o.FillLimit, log: o.Log,
		changed: make(chan cas.Digest, maxChanged), damaged: make(chan cas.ObjectRef, maxDamaged), evicting: make(chan struct{}, 1),
		entries: map[cas.ObjectRef]*entry{}, inPart: map[folderstore.Part]int{}, doubted: map[cas.ObjectRef]time.Time{}, private: map[cas.ObjectRef]bool{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if err := t.open(filepath.Join(o.Dir, recordName), o.Owner); err != nil {
		t.cancel()
		lock.Close()
		folder.Close()
		return nil, err
	}
	return t, nil
}

// open removes what a crash left, and opens the record.
func (t *Tier) open(name, owner string) error {
	if err := t.folder.Clean(0); err != nil {
		t.counts.errors.Add(1)
		t.log.Warn().Err(err).Msg("the local tier can't remove everything that lies among its unfinished copies; remove it by hand")
	}
	r, isRight, err := openRecord(name, owner)
	if err != nil {
		return err
	}
	if !isRight {
		// The copies go before the record says that there are none.
		if err := t.folder.DropAll(); err != nil {
			return errors.Join(err, r.file.Close())
		}
		if r, err = r.renew(); err != nil {
			return err
		}
	}
	hasDropped, err := t.folder.HasDropped()
	if err == nil {
		err = r.setState(stateInUse)
	}
	if err != nil {
		return errors.Join(err, r.file.Close())
	}
	t.record = r
	t.used = r.total()
	t.isReady = !hasDropped && t.used <= t.limit // the limit may have been higher before
	if !t.isReady {
		t.work.Go(func() { t.makeReady(hasDropped) })
	}
	return nil
}

// makeReady removes the copies that the start has dropped, and those that don't fit. That may
// take minutes, in which copies are only read.
func (t *Tier) makeReady(hasDropped bool) {
	if hasDropped {
		if err := t.folder.RemoveDropped(t.ctx); err != nil {
			if t.ctx.Err() == nil {
				t.failed("remove the copies of before a crash; none are made until the next start", err)
			}
			return
		}
	}
	t.evictUntil(t.ctx, nil, t.fits)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.isReady = true
}

// Close ends all fills, and closes the folder. Bodies may be closed later.
func (t *Tier) Close() error {
	t.mu.Lock()
	t.cancel() // no work begins after that, see mayCopy
	t.mu.Unlock()
	t.work.Wait()
	t.mu.Lock()
	err := t.record.close()
	t.mu.Unlock()
	return errors.Join(err, t.lock.Close(), t.folder.Close())
}

// Put implements cas.ObjectStore. The bytes that the store took become a copy.
func (t *Tier) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	u := t.newUpload(ref, body.Size())
	if u != nil {
		body.SetWitness(u)
	}
	err := t.inner.Put(ctx, ref, body)
	isStored := err == nil && body.Err() == nil
	if isStored {
		t.trust(ref)
	}
	if u != nil {
		u.end(isStored)
	}
	return err
}

// Stat implements cas.ObjectStore. It looks at the object itself.
func (t *Tier) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	return t.inner.Stat(ctx, ref)
}

// Check implements cas.ObjectStore. It checks the store behind the tier: without the tier the
// gateway works as well.
func (t *Tier) Check(ctx context.Context) error { return t.inner.Check(ctx) }

// Delete implements cas.ObjectStore.
func (t *Tier) Delete(ctx context.Context, ref cas.ObjectRef) error {
	defer t.bar(ref)()
	return t.inner.Delete(ctx, ref)
}

// BatchStore removes many objects together, see collector.BatchObjects.
type BatchStore interface {
	DeleteAll(ctx context.Context, refs []cas.ObjectRef) (left []cas.ObjectRef, err error)
}

// Batches returns what removes many objects of inner together, and their copies.
func (t *Tier) Batches(inner BatchStore) BatchStore { return batches{t, inner} }

type batches struct {
	t     *Tier
	inner BatchStore
}

// DeleteAll implements BatchStore.
func (b batches) DeleteAll(ctx context.Context, refs []cas.ObjectRef) ([]cas.ObjectRef, error) {
	for _, ref := range refs {
		defer b.t.bar(ref)()
	}
	return b.inner.DeleteAll(ctx, refs)
}

// Forget removes the copy of an object.
func (t *Tier) Forget(ref cas.ObjectRef) { t.bar(ref)() }

// bar removes the copy of an object. Until allow is called, no copy of it is made or read. Fills
// that are under way go on for their readers, but make no copy.
func (t *Tier) bar(ref cas.ObjectRef) (allow func()) {
	t.mu.Lock()
	e := t.acquire(ref)
	e.barred++
	e.deletes++
	e.fill = nil
	t.remove(e)
	t.mu.Unlock()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		e.barred--
		t.release(e)
	}
}

// acquire returns the entry of an object, for which the caller must call release. The caller
// holds t.mu, as for all methods that work with entries.
func (t *Tier) acquire(ref cas.ObjectRef) *entry {
	e := t.entries[ref]
	if e == nil {
		e = &entry{ref: ref}
		t.entries[ref] = e
		t.inPart[folderstore.PartOf(ref)]++
	}
	e.users++
	return e
}

func (t *Tier) release(e *entry) {
	if e.users--; e.users > 0 {
		return
	}
	delete(t.entries, e.ref)
	part := folderstore.PartOf(e.ref)
	if t.inPart[part]--; t.inPart[part] == 0 {
		delete(t.inPart, part)
	}
}

// closed says that a body has closed the copy's file on disk.
func (t *Tier) closed(e *entry) {
	if e.readers--; e.readers == 0 && e.ghosts > 0 {
		t.free(e.ref, e.ghosts)
		e.ghosts = 0
	}
	t.release(e)
}

// remove removes a published copy, if there is one.
func (t *Tier) remove(e *entry) bool {
	stat, err := t.folder.Stat(context.Background(), e.ref)
	if errors.Is(err, cas.ErrObjectMissing) {
		return true
	}
	if removeErr := t.folder.Remove(e.ref); removeErr != nil {
		if isOfDisk(removeErr) {
			t.fault("remove a copy", removeErr)
		} else {
			t.report("remove a copy", removeErr) // others may be removed
		}
		return false
	}
	delete(t.private, e.ref)
	switch {
	case err != nil: // not a regular file: it had no bytes
	case e.readers > 0:
		e.ghosts += stat.Size
	default:
		t.free(e.ref, stat.Size)
	}
	return true
}

// fault records that the folder failed, and makes no copies for a while. The caller holds t.mu.
func (t *Tier) fault(doing string, err error) {
	t.resume = time.Now().Add(pause)
	t.report(doing, err)
}

// report counts and logs a failure of the folder. The caller holds t.mu.
func (t *Tier) report(doing string, err error) {
	t.counts.errors.Add(1)
	now := time.Now()
	if now.Sub(t.logged) < faultLogEvery {
		return
	}
	t.logged = now
	t.log.Warn().Err(err).Str("doing", doing).Msg("the folder of the local tier fails; objects are read from the store behind it")
}

// failed is fault for callers that don't hold t.mu.
func (t *Tier) failed(doing string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fault(doing, err)
}

// mayCopy reports whether copies of an object may be made now. The caller holds t.mu.
func (t *Tier) mayCopy(e *entry) bool {
	return e.barred == 0 && t.isReady && t.ctx.Err() == nil && !t.isPaused()
}

// mayFill reports whether a copy of an object may be made of what is read. The caller holds t.mu.
func (t *Tier) mayFill(e *entry) bool { return t.mayCopy(e) && !t.isDoubted(e.ref) }

// isPaused reports whether the folder failed in the last moments. The caller holds t.mu.
func (t *Tier) isPaused() bool { return time.Now().Before(t.resume) }

// doubt removes a damaged copy. The next reads of the object go to the store behind the tier,
// which shows if the object itself is damaged. They do so, too, if the copy can't be removed.
// It returns false if the object is in doubt already.
func (t *Tier) doubt(ref cas.ObjectRef) bool {
	t.mu.Lock()
	isNew := !t.isDoubted(ref)
	if len(t.doubted) >= maxDoubted {
		clear(t.doubted)
	}
	t.doubted[ref] = time.Now().Add(doubtFor)
	t.mu.Unlock()
	t.Forget(ref)
	return isNew
}

// isDoubted reports whether an object is read without the tier. The caller holds t.mu.
func (t *Tier) isDoubted(ref cas.ObjectRef) bool {
	until, ok := t.doubted[ref]
	if ok && !time.Now().Before(until) {
		delete(t.doubted, ref)
		return false
	}
	return ok
}

// trust ends the doubt about an object, which got new bytes.
func (t *Tier) trust(ref cas.ObjectRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.doubted, ref)
}

// versionOf is the version of an object that is read through the tier. It is the same for each copy, since
// every full read compares the bytes with those that were verified.
func versionOf(ref cas.ObjectRef) string { return "tier " + ref.Key() }
