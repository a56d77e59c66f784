package gateway

import (
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"casgate/cas/journal"
	"casgate/gateway/problem"
	"casgate/gateway/request"
)

// uploadSlots counts the uploads under way.
type uploadSlots struct {
	all   int // the most uploads at the same time
	share int // the most of one token

	mu      sync.Mutex
	running int
	of      map[string]int // uploads by actor
}

var (
	errNoUploadSlot = problem.New(problem.Overloaded, "as many uploads as allowed are under way; try again shortly")
	errNoTokenSlot  = problem.New(problem.TooManyRequests, "as many uploads of this token are under way as it may have at the same time; try again shortly")
)

// newUploadSlots returns slots of which one token can use three quarters at most, so that
// others can upload beside it.
func newUploadSlots(all int) *uploadSlots {
	return &uploadSlots{all: all, share: all - all/4, of: map[string]int{}}
}

// limit answers 503 or 429 at once, before the body is read, if all slots, or all of the
// token, are used.
func (s *uploadSlots) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		actor := shareholder(request.StateOf(c).Record.Actor)
		if err := s.take(actor); err != nil {
			return err
		}
		defer s.free(actor)
		return next(c)
	}
}

// shareholder returns the actor whose share an upload uses: that of an upload URL uses the
// share of the token that made the URL.
func shareholder(actor string) string {
	switch id, isURL := strings.CutPrefix(actor, journal.ActorUploadURL); {
	case !isURL:
		return actor
	case id == "":
		return journal.ActorNone
	default:
		return journal.ActorToken + id
	}
}

func (s *uploadSlots) take(actor string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.running >= s.all:
		return errNoUploadSlot
	case s.of[actor] >= s.share && actor != journal.ActorNone:
		return errNoTokenSlot
	}
	s.running++
	s.of[actor]++
	return nil
}

func (s *uploadSlots) free(actor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.of[actor]--; s.of[actor] == 0 {
		delete(s.of, actor)
	}
}

// used returns the number of uploads under way.
func (s *uploadSlots) used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}
