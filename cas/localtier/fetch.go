package localtier

import (
	"context"
	"errors"
	"io"
	"time"
)

const (
	// patience is how long the readers of a fill may leave it alone before the fill goes on by
	// itself. A reader that takes a mebibyte in this time comes back sooner.
	patience = 10 * time.Millisecond
	// minFetch is the smallest buffer, in bytes, into which a reader fetches more than the rest of
	// an object: files on disk are written in larger pieces.
	minFetch = 64 << 10
)

// drive fetches what no reader fetches, and returns when the copy is whole or has failed, and
// nobody fetches any more.
func (f *fill) drive() error {
	var buffer []byte
	timer := time.NewTimer(patience)
	defer timer.Stop()
	isLate := f.size == 0 // no reader asks for the end of nothing
	seen := int64(0)      // the bytes that there were when the readers were last looked at
	for {
		ended := f.ctx.Done()
		switch f.turn(isLate) {
		case turnOver:
			return f.err
		case turnOfOther:
			ended = nil // the other one calls
		case turnOfDrive:
			if buffer == nil {
				var free func()
				buffer, free = f.buffer()
				defer free()
			}
			f.fetch(buffer)
			f.mu.Lock()
			isLate, seen = !f.isAwaited, f.written // a reader that waits does the next fetch
			f.mu.Unlock()
			timer.Reset(patience)
			continue
		}
		select {
		case <-f.called:
		case <-ended:
		case <-timer.C:
			f.mu.Lock()
			isLate, seen = f.written == seen, f.written
			f.mu.Unlock()
			timer.Reset(patience)
		}
	}
}

// turn says who fetches next.
type turn int

const (
	turnOver     turn = iota // nobody: f.err and f.isWhole don't change any more
	turnOfOther              // a reader does
	turnOfReader             // a reader will
	turnOfDrive              // drive does, and f.isFetching is set
)

// turn returns whether it is drive's turn to fetch. Readers that are late lose theirs.
func (f *fill) turn(areLate bool) turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.isFetching:
		return turnOfOther
	case f.isWhole || f.err != nil:
		return turnOver
	case f.ctx.Err() != nil:
		f.err = f.ctx.Err() // no reader begins to fetch
		return turnOver
	case areLate || f.isAsked || f.readers == 0:
		f.isFetching, f.isAsked, f.isAwaited = true, false, false
		return turnOfDrive
	}
	return turnOfReader
}

// buffer returns a buffer for the bytes of the object. The caller frees it.
func (f *fill) buffer() (buffer []byte, free func()) {
	if f.size > bufferSize {
		if buffer, free = takeLarge(); buffer != nil {
			return buffer, free
		}
	}
	small := buffers.Get().(*[bufferSize]byte)
	return small[:], func() { buffers.Put(small) }
}

// fetch reads bytes of the object into p, and appends them to the copy. It returns how many there
// are in p. The caller has set isFetching.
func (f *fill) fetch(p []byte) int {
	n, err := f.src.Read(p)
	added := 0
	if n > 0 {
		if failure := f.append(p[:n]); failure != nil {
			err = failure
		} else {
			added = n
		}
	}
	isTooLong := err == errTooLong
	if isTooLong {
		n, err = 0, io.EOF // a reader that still needs bytes finds that the object is damaged
	}
	isEnd := err == io.EOF && !isTooLong && f.written+int64(added) == f.size
	if err != nil && !isEnd {
		f.detach() // no new reader gets the error
	}
	f.change(func() {
		f.isFetching = false
		f.written += int64(added)
		switch {
		case isEnd:
			f.isWhole = true
		case err != nil:
			f.err = err // io.EOF, too: the reader finds that bytes are missing
		case f.written == f.size:
			f.isAsked = true // the end is to be seen still
		}
		if f.isWhole || f.err != nil || f.isAsked || f.ctx.Err() != nil {
			f.call()
		}
	})
	return n
}

// fetchFor is fetch for a reader, which leaves when ctx is done.
func (f *fill) fetchFor(ctx context.Context, p []byte) int {
	if !f.isLarge() {
		return f.fetch(p)
	}
	forsaken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(forsaken)
		f.forsake()
	})
	n := f.fetch(p)
	if !stop() {
		<-forsaken // while this reader counts: later it might end the fill of another one
	}
	return n
}

// call lets drive look at the fill.
func (f *fill) call() {
	select {
	case f.called <- struct{}{}:
	default:
	}
}

// errTooLong says that an object has more bytes than it should.
var errTooLong = errors.New("the object is longer than it said")

// append writes bytes behind those that are there. Only one goroutine writes.
func (f *fill) append(p []byte) error {
	if int64(len(p)) > f.size-f.written {
		return errTooLong
	}
	if _, err := f.draft.File.WriteAt(p, f.written); err != nil {
		f.t.failed("write a copy", err)
		return errFolder
	}
	return nil
}

// write appends bytes, and counts them.
func (f *fill) write(p []byte) error {
	if err := f.append(p); err != nil {
		return err
	}
	f.change(func() { f.written += int64(len(p)) })
	return nil
}

// next returns bytes from pos on. Either it has fetched n of them into p, or there are more in the
// copy, which has written bytes.
func (f *fill) next(ctx context.Context, pos int64, p []byte) (n int, written int64, err error) {
	for {
		f.mu.Lock()
		written, err := f.written, f.err
		if written > pos || err != nil {
			f.mu.Unlock()
			if written > pos {
				err = nil
			}
			return 0, written, err
		}
		canFetch := pos == written && int64(len(p)) >= min(minFetch, f.size-written)
		if canFetch && !f.isFetching && !f.isWhole {
			f.isFetching = true
			f.mu.Unlock()
			n := f.fetchFor(ctx, p)
			if n > 0 {
				return n, 0, nil
			}
			if ctx.Err() != nil {
				return 0, 0, context.Cause(ctx)
			}
			continue
		}
		if canFetch {
			f.isAwaited = true
		} else {
			f.isAsked = true
			f.call()
		}
		changed := f.waiting()
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
}
