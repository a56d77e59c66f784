package chatapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"casgate/providers"
)

// lookEvery is how long an id that the provider knew is not looked up again.
const lookEvery = time.Minute

// healLimit bounds the look-up of one id, and the upload of what was lost.
const healLimit = 30 * time.Minute

// lookUps looks up ids of files at providers, and remembers when an id was known there.
// Requests that need the same id at the same time share one look-up.
type lookUps struct {
	flights singleflight.Group
	mu      sync.Mutex
	known   map[string]time.Time // by provider and id
}

// maxLookUps bounds the entries of lookUps.
const maxLookUps = 10_000

func newLookUps() *lookUps { return &lookUps{known: map[string]time.Time{}} }

// wasKnown reports whether the provider has known an id a short time ago.
func (l *lookUps) wasKnown(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.known[key]
	return ok && time.Since(last) < lookEvery
}

// setKnown records that the provider knows an id now.
func (l *lookUps) setKnown(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxLookUps {
		clear(l.known)
	}
	l.known[key] = time.Now()
}

// share calls do, unless another request does so for the same key, and returns its result.
// Only the waiting ends with ctx: the others need the result, too.
func (l *lookUps) share(ctx context.Context, key string, do func(context.Context) (string, error)) (string, error) {
	done := l.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healLimit)
		defer cancel()
		return do(ctx)
	})
	select {
	case result := <-done:
		id, _ := result.Val.(string)
		return id, result.Err
	case <-ctx.Done():
		return "", ctx.Err()
	}
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
	answer.Body.Close()
	if c.pieces, c.size, err = c.completion.pieces(); err != nil {
		return nil, err
	}
	c.healed = true
	c.h.metrics.healedOne(c.to.provider)
	again := r.Clone(r.Context())
	c.fill(again)
	return again, nil
}

// replaceLost looks up the copies that the request names, and reports whether one of them
// was lost and has been replaced.
func (c *call) replaceLost(ctx context.Context) (bool, error) {
	var group errgroup.Group
	group.SetLimit(parallel)
	var replaced atomic.Bool
	seen := map[string]bool{}
	for _, a := range c.attached {
		if a.ref.Copy == nil || seen[a.ref.Copy.FileID] {
			continue
		}
		id := a.ref.Copy.FileID
		seen[id] = true
		group.Go(func() error {
			now, err := c.currentID(ctx, a)
			if err == nil && now != id {
				replaced.Store(true)
			}
			return c.late(ctx, err)
		})
	}
	err := group.Wait()
	return replaced.Load(), err
}

// currentID returns the id of an attachment's copy, after the provider was asked whether it
// knows the one that the request has. It is another one if the copy was lost, or if another
// request has replaced it in the meantime.
func (c *call) currentID(ctx context.Context, a *attachment) (string, error) {
	id := a.ref.Copy.FileID
	key := c.to.provider + " " + id
	want, purpose := a.want, a.ref.Copy.Purpose
	want.Reserve = nil // the look-up may outlive this request
	return c.h.looked.share(ctx, key, func(ctx context.Context) (string, error) {
		if c.h.looked.wasKnown(key) { // but perhaps it was replaced since
			ref, err := c.h.Copies.ChatReference(ctx, want)
			if err != nil || ref.Copy == nil {
				return id, err
			}
			return ref.Copy.FileID, nil
		}
		want.Purpose, want.Actor = purpose, ""
		now, _, err := c.h.Copies.ReportLost(ctx, want, id)
		if err == nil && now.FileID == id {
			c.h.looked.setKnown(key)
		}
		return now.FileID, err
	})
}
