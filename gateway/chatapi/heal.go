package chatapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"casgate/providers"
)

// lookEvery is how long an id that the provider knew is not looked up again.
const lookEvery = time.Minute

// lookUps remembers when ids of files at providers were looked up.
type lookUps struct {
	mu   sync.Mutex
	last map[string]time.Time // by provider and id
}

// maxLookUps bounds the entries of lookUps.
const maxLookUps = 10_000

func newLookUps() *lookUps { return &lookUps{last: map[string]time.Time{}} }

// due reports whether an id may be looked up now, and records that it is.
func (l *lookUps) due(key string) bool {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.last[key]; ok && now.Sub(last) < lookEvery {
		return false
	}
	if len(l.last) >= maxLookUps {
		clear(l.last)
	}
	l.last[key] = now
	return true
}

// refusals are the statuses by which providers may refuse the id of a file that they don't
// know. They have them for other mistakes, too, such as an unknown model. So the provider
// is asked for the file.
var refusals = []int{http.StatusBadRequest, http.StatusNotFound, http.StatusGone}

// heal looks for files that the provider has lost, if it has refused a request that names
// some, and uploads them again. It returns the request to send, or nil if the answer is to
// go out as it came.
func (c *call) heal(r *http.Request, answer *http.Response) (*http.Request, error) {
	if c.healed || !slices.Contains(refusals, answer.StatusCode) {
		return nil, nil
	}
	wait := c.h.Waits.ForResult(c.c.Request())
	defer wait.End()
	replaced, err := c.replaceLost(wait)
	switch {
	case errors.Is(err, providers.ErrCopyInProgress):
		answer.Body.Close()
		return nil, err // the client repeats it, and the upload goes on
	case err != nil:
		c.h.Log.Warn().Err(err).Str("provider", c.to.provider).Msg("could not look for files that the provider may have lost")
		return nil, nil
	case !replaced:
		return nil, nil
	}
	if err := c.refer(wait); err != nil {
		answer.Body.Close()
		return nil, err
	}
	if c.pieces, c.size, err = c.exchange.pieces(); err != nil {
		return nil, err
	}
	answer.Body.Close()
	c.healed = true
	c.h.metrics.healedOne(c.to.provider)
	again := r.Clone(r.Context())
	c.fill(again)
	return again, nil
}

// replaceLost looks up the copies that the request names, and reports whether one of them
// was lost and has been replaced.
func (c *call) replaceLost(ctx context.Context) (bool, error) {
	var replaced bool
	seen := map[string]bool{}
	for _, a := range c.attached {
		if a.ref.Copy == nil || seen[a.ref.Copy.FileID] {
			continue
		}
		id := a.ref.Copy.FileID
		seen[id] = true
		if !c.h.looked.due(c.to.provider + " " + id) {
			continue
		}
		want := a.want
		want.Purpose, want.Actor = a.ref.Copy.Purpose, ""
		now, _, err := c.h.Copies.ReportLost(ctx, want, id)
		if err != nil {
			return replaced, c.late(ctx, err)
		}
		replaced = replaced || now.FileID != id
	}
	return replaced, nil
}
