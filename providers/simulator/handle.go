package simulator

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"casgate/providers"
)

// Answer is a simulator's answer.
type Answer struct {
	Status      int
	ContentType string // empty means application/json
	Header      http.Header
	Body        []byte
	// send writes the answer instead; nil means that it is written at once.
	send func(w http.ResponseWriter, r *http.Request)
}

// JSON returns an answer with a value's JSON.
func JSON(status int, value any) Answer {
	body, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("a simulator's answer: %v", err)) // the values are all ours
	}
	return Answer{Status: status, Body: body}
}

// Error returns an error in the provider's form.
func (c *Core) Error(status int, code, message string) Answer {
	return JSON(status, c.config.ErrorBody(status, code, message))
}

func (a Answer) write(w http.ResponseWriter) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if a.ContentType == "" {
		a.ContentType = "application/json"
	}
	w.Header().Set("Content-Type", a.ContentType)
	w.WriteHeader(a.Status)
	// A client that has left gets no answer.
	_, _ = w.Write(a.Body)
}

// Authorize returns the answer to a request without the right credential, or nil.
type Authorize func(r *http.Request) *Answer

// Bearer returns the bearer token of a request.
func Bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// Handle makes an http.Handler from a function that answers one kind of request. The
// handler counts requests, applies faults, and refuses requests over a limit or without
// the credential.
func (c *Core) Handle(op providers.Op, answer func(r *http.Request) Answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := c.config.RequestIDHeader; h != "" {
			w.Header().Set(h, strings.ToLower(rand.Text()))
		}
		excess := c.enter(op)
		defer c.leave()
		fault := c.take(op)
		if fault != nil && fault.Kind == SamePage {
			query := r.URL.Query()
			query.Del("after")
			query.Del("after_id")
			query.Del("page")
			query.Del("pageToken")
			r.URL.RawQuery = query.Encode()
			fault = nil
		}
		if fault != nil && !fault.Applied && !(fault.spoils() && readsOnly(op)) {
			c.strike(fault, w, r, Answer{})
			return
		}
		a, refused := c.answer(op, r, excess, answer)
		if fault != nil && !refused {
			c.strike(fault, w, r, a)
			return
		}
		drain(r)
		if a.send != nil {
			a.send(w, r)
			return
		}
		a.write(w)
	})
}

// readsOnly reports whether a request changes nothing.
func readsOnly(op providers.Op) bool { return op != providers.OpUpload && op != providers.OpDelete }

func (c *Core) answer(op providers.Op, r *http.Request, excess *Excess, answer func(r *http.Request) Answer) (a Answer, refused bool) {
	if refusal := c.config.Authorize(r); refusal != nil {
		return *refusal, true
	}
	if excess != nil {
		return c.config.Limited(*excess), true
	}
	if op == providers.OpUpload {
		c.pass(HeadersRead)
	}
	a = answer(r)
	if op == providers.OpList {
		a = c.edited(a)
	}
	refused = a.Status >= 300
	if op == providers.OpUpload && !refused {
		c.pass(Stored)
	}
	return a, refused
}

// enter counts a request, and returns an Excess if it is over a limit.
func (c *Core) enter(op providers.Op) *Excess {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[op]++
	c.inFlight++
	c.most = max(c.most, c.inFlight)
	if limit := c.config.Concurrency; limit > 0 && c.inFlight > limit {
		return &Excess{Concurrent: true, Limit: limit, Wait: time.Second}
	}
	limit := c.config.PerMinute
	if limit <= 0 {
		return nil
	}
	now := c.config.Now()
	for len(c.recent) > 0 && now.Sub(c.recent[0]) >= time.Minute {
		c.recent = c.recent[1:]
	}
	if len(c.recent) >= limit {
		return &Excess{Limit: limit, Wait: time.Minute - now.Sub(c.recent[0])}
	}
	c.recent = append(c.recent, now)
	return nil
}

func (c *Core) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
}
