package s3test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"casgate/cas/s3store"
)

// Stalling is a way to a store on which bytes can stop, as with a store whose process is
// stopped: connections stay open, and new ones are accepted.
type Stalling struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	changed *sync.Cond
	stopped bool
	ended   bool
	passed  int64 // bytes from the store, since the start
	stopAt  int64 // passed; negative: never
	links   map[net.Conn]bool
}

// NewStalling returns the options of a store's bucket by a way that can stop.
func NewStalling(t testing.TB, o s3store.Options) (s3store.Options, *Stalling) {
	t.Helper()
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Stalling{listener: listener, target: u.Host, stopAt: -1, links: map[net.Conn]bool{}}
	s.changed = sync.NewCond(&s.mu)
	var all sync.WaitGroup
	all.Go(func() { s.accept(&all) })
	t.Cleanup(func() {
		listener.Close()
		s.set(func() { s.ended = true })
		all.Wait()
	})
	u.Host = listener.Addr().String()
	o.Endpoint = u.String()
	return o, s
}

// Stop lets no more bytes pass, in either direction.
func (s *Stalling) Stop() { s.set(func() { s.stopped = true }) }

// StopAfter is Stop once n more bytes have come from the store.
func (s *Stalling) StopAfter(n int64) { s.set(func() { s.stopAt = s.passed + n }) }

// Go lets bytes pass again.
func (s *Stalling) Go() { s.set(func() { s.stopped, s.stopAt = false, -1 }) }

// Cut breaks the connections that there are. New ones work.
func (s *Stalling) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for link := range s.links {
		link.Close()
	}
}

func (s *Stalling) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.changed.Broadcast()
}

func (s *Stalling) accept(all *sync.WaitGroup) {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		all.Go(func() { s.serve(client) })
	}
}

// serve copies bytes until one side closes, or the test ends.
func (s *Stalling) serve(client net.Conn) {
	defer client.Close()
	store, err := net.Dial("tcp", s.target)
	if err != nil {
		return
	}
	defer store.Close()
	s.set(func() { s.links[client], s.links[store] = true, true })
	defer s.set(func() { delete(s.links, client); delete(s.links, store) })
	var both sync.WaitGroup
	both.Go(func() { s.copy(store, client, false); store.Close(); client.Close() })
	both.Go(func() { s.copy(client, store, true); store.Close(); client.Close() })
	both.Wait()
}

func (s *Stalling) copy(to io.Writer, from io.Reader, isAnswer bool) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && s.pass(n, isAnswer) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil || s.isEnded() {
			return
		}
	}
}

func (s *Stalling) isEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// pass waits until bytes may pass, and reports whether they may.
func (s *Stalling) pass(n int, isAnswer bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for (s.stopped || s.stopAt >= 0 && s.passed >= s.stopAt) && !s.ended {
		s.changed.Wait()
	}
	if isAnswer {
		s.passed += int64(n)
	}
	return !s.ended
}
