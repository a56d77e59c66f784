package cas

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// keyPatience is how long an upload waits for another one with its idempotency key. It is shorter than
// the usual CAS_BODY_WINDOW: over HTTP/2 a body that is not read for longer is lost.
const keyPatience = 20 * time.Second

// Keyed calls store with an upload that has an idempotency key; nil: it has none. If the key was used
// before, the upload must have the bytes of that time, and the file of that time must still be there:
// else it is refused before anything is stored: a repetition that comes late must not undo the delete of
// a file. An upload of a blob stores the blob again if it was deleted, since its answer says that it is there.
// Uploads with the same key go one after the other at one gateway, so only the first of several at once
// stores its bytes. At several gateways each first one may store its own.
//
// The key's Request may be zero if the upload is of a file whose form has not been read yet. Errors:
// ErrKeyReused; ErrFileNotFound if the file is gone; ErrKeyInUse if
// another upload with the key takes longer than 20 seconds; ErrIndexUnavailable, and those of store.
func (f *Files) Keyed(ctx context.Context, key *IdempotencyKey, u Upload, store func(u Upload) error) error {
	if key == nil {
		return store(u)
	}
	unlock, err := f.keys.lock(ctx, key.ID)
	if err != nil {
		return err
	}
	defer unlock()
	use, err := f.KeyUse(ctx, key.ID)
	if err != nil {
		return err
	}
	if use == nil {
		return store(u)
	}
	isKnown := key.Request != [sha256.Size]byte{}
	if isKnown && key.Request != use.Request || !isKnown && use.FileID == "" {
		return fmt.Errorf("%w: it was used for another request", ErrKeyReused)
	}
	if use.FileID != "" {
		if _, err := f.File(ctx, use.FileID); err != nil {
			return err
		}
	}
	switch {
	case u.Digest != nil && *u.Digest != use.Digest:
		return fmt.Errorf("%w: it was used for %s", ErrKeyReused, use.Digest)
	case u.Digest != nil:
		return store(u)
	}
	u.Digest = &use.Digest
	body := &failingReader{src: u.Body}
	u.Body = body
	if err = store(u); errors.Is(err, ErrDigestMismatch) && body.err == nil { // else the client's own digest was wrong
		err = fmt.Errorf("%w: it was used for other bytes", ErrKeyReused)
	}
	return err
}

// failingReader keeps the error of a body.
type failingReader struct {
	src io.Reader
	err error
}

func (r *failingReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// keyLocks are the idempotency keys of uploads that are under way. Its zero value is ready.
type keyLocks struct {
	mu   sync.Mutex
	held map[[sha256.Size]byte]*keyLock
}

type keyLock struct {
	held  chan struct{} // has an element while the lock is held
	users int           // that hold it or wait for it
}

// lock waits until no other upload has the key.
func (l *keyLocks) lock(ctx context.Context, id [sha256.Size]byte) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[[sha256.Size]byte]*keyLock)
	}
	lock := l.held[id]
	if lock == nil {
		lock = &keyLock{held: make(chan struct{}, 1)}
		l.held[id] = lock
	}
	lock.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if lock.users--; lock.users == 0 {
			delete(l.held, id)
		}
	}
	patience := time.NewTimer(keyPatience)
	defer patience.Stop()
	select {
	case lock.held <- struct{}{}:
		return func() { <-lock.held; leave() }, nil
	case <-patience.C:
		err = ErrKeyInUse
	case <-ctx.Done():
		err = ctx.Err()
	}
	leave()
	return nil, err
}
