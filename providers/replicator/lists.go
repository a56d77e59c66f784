package replicator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"casgate/providers"
)

// lists shares the lists of accounts between the callers that look for files, or count them,
// at once.
type lists struct {
	flights singleflight.Group

	mu      sync.Mutex
	waiting map[string]int // callers, by account
	last    map[string]wholeList
	began   map[string]time.Time // when the last list of an account began
}

// wholeList is the list of an account, or the error of reading it.
type wholeList struct {
	began time.Time
	files []providers.RemoteFile
	err   error
}

func newLists() *lists {
	return &lists{waiting: make(map[string]int), last: make(map[string]wholeList), began: make(map[string]time.Time)}
}

// enter registers a caller. The last list of an account is kept while it has callers.
func (s *lists) enter(account string) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[account]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.waiting[account]--; s.waiting[account] == 0 {
			delete(s.waiting, account)
			delete(s.last, account)
		}
	}
}

// since returns the last list of an account if it began after a time.
func (s *lists) since(account string, asked time.Time) (wholeList, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.last[account]
	return l, ok && !l.began.Before(asked)
}

// read reads the list of an account to its end, since an open list occupies one of the
// account's slots. It begins at least shortestLook after the one before.
func (s *lists) read(ctx context.Context, p providers.Provider) {
	account := p.Describe().Account
	s.mu.Lock()
	next := s.began[account].Add(shortestLook)
	s.mu.Unlock()
	l := wholeList{began: time.Now(), err: pause(ctx, time.Until(next))}
	if l.err == nil {
		l = readList(ctx, p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began[account] = l.began
	if s.waiting[account] > 0 {
		s.last[account] = l
	}
}

func readList(ctx context.Context, p providers.Provider) wholeList {
	l := wholeList{began: time.Now()}
	for f, err := range p.List(ctx, "") {
		if err != nil {
			l.err = fmt.Errorf("list the files at %s: %w", p.Describe().Provider, err)
			break
		}
		l.files = append(l.files, f)
	}
	return l
}

// byID returns the files by their ids.
func (l wholeList) byID() map[string]providers.RemoteFile {
	files := make(map[string]providers.RemoteFile, len(l.files))
	for _, f := range l.files {
		files[f.ID] = f
	}
	return files
}

// listAll returns the list of an account, of all purposes: a list may give a file another
// purpose than the upload named. The list begins after the call. All callers that wait for
// an account's next list share it.
func (r *Replicator) listAll(ctx context.Context, p providers.Provider) (wholeList, error) {
	account, asked := p.Describe().Account, time.Now()
	defer r.lists.enter(account)()
	for {
		if l, ok := r.lists.since(account, asked); ok {
			return l, l.err
		}
		read := r.lists.flights.DoChan(account, func() (any, error) {
			// A read may have ended since the look above.
			if _, ok := r.lists.since(account, asked); !ok {
				r.lists.read(r.working, p)
			}
			return nil, nil
		})
		select {
		case <-read:
		case <-ctx.Done():
			return wholeList{}, context.Cause(ctx)
		}
	}
}
