package chatapi

import (
	"fmt"
	"sync/atomic"

	"github.com/labstack/echo/v4"

	"casgate/gateway/chatbody"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
)

// completion is one request to a model, and its answer.
type completion struct {
	h    *Handlers
	c    echo.Context
	door Door

	memory   *reservation
	body     *chatbody.Body
	to       target
	attached []*attachment
	loaded   atomic.Int64 // bytes of texts and blobs for the references
	healed   bool
	// passInline: bytes in the request stay there, where the provider takes them so.
	passInline bool
}

// Completions answers POST /v1/chat/completions.
func (h *Handlers) Completions(door Door) echo.HandlerFunc {
	return func(c echo.Context) error {
		x := &completion{h: h, c: c, door: door, memory: h.memory.reserve(request.StateOf(c).Record.Actor)}
		var err error
		defer func() { // also if the answer breaks off, for which package httputil panics
			x.release()
			h.metrics.request(x.to.provider, x.status(err))
		}()
		err = x.run()
		return err
	}
}

// status returns the status that the client gets, or would have got.
func (x *completion) status(err error) int {
	switch {
	case err == nil:
		return x.c.Response().Status
	case respond.IsClientGone(x.c, err):
		return respond.StatusClientGone
	}
	return problem.Of(err, "").Status
}

// run does the whole of a request.
func (x *completion) run() error {
	if err := x.read(); err != nil {
		return err
	}
	if err := x.route(); err != nil {
		return err
	}
	wait := x.h.Waits.ForResult(x.c.Request())
	defer wait.End()
	if err := x.attach(wait); err != nil {
		return err
	}
	if err := x.prepare(wait); err != nil {
		return err
	}
	return x.forward()
}

// read reads the body, if there is room for it.
func (x *completion) read() error {
	if err := x.h.checkBody(x.c); err != nil {
		return err
	}
	if err := x.readInline(); err != nil {
		return err
	}
	if err := x.memory.grow(x.c.Request().ContentLength); err != nil {
		return err
	}
	defer request.StopBody(x.c)
	raw, err := x.h.readBody(x.c)
	if err != nil {
		return err
	}
	x.body, err = scan(raw)
	return err
}

// release gives up the body, which an answer may outlive by minutes.
func (x *completion) release() {
	x.body, x.attached = nil, nil
	x.memory.release()
}

// route finds the provider.
func (x *completion) route() error {
	if !x.body.HasModel || x.body.Model == "" {
		return problem.WithParam("model", problem.BadRequest("model is missing; GET /v1/models lists the models"))
	}
	var err error
	x.to, err = x.h.models.find(x.c.Request().Context(), x.door, x.body.Model)
	if err != nil {
		return problem.WithParam("model", err)
	}
	request.StateOf(x.c).Record.Provider = x.to.provider
	x.c.Response().Header().Set(headerProvider, x.to.provider)
	return nil
}

// The header fields of answers.
const (
	headerProvider   = "X-Casgate-Provider"
	headerHealed     = "X-Casgate-Healed"
	headerUpstreamID = "X-Casgate-Upstream-Request-Id"
)

// freeGrowth is by how much a request may be larger, as the provider gets it, than a
// client's may be, in bytes. References are about as long as what they replace.
const freeGrowth = 1 << 20

// maxSent returns the most bytes that a provider gets in a request.
func (h *Handlers) maxSent() int64 { return h.o.MaxBody + freeGrowth }

// checkSent refuses a request by its size as the provider gets it.
func (h *Handlers) checkSent(size int64) error {
	if size > h.maxSent() {
		return problem.New(problem.RequestTooLarge, fmt.Sprintf("with the texts and bytes of its files the request has %d bytes or more, and at most %d are sent; name fewer files, or smaller ones", size, h.maxSent()))
	}
	return nil
}

// forward sends the request on, and passes the answer through.
func (x *completion) forward() error {
	pieces, size, err := x.pieces()
	if err != nil {
		return err
	}
	for _, a := range x.attached {
		x.h.metrics.part(x.to.provider, a.ref.Kind.Name, a.source)
	}
	call := &call{completion: x, pieces: pieces, size: size}
	return call.proxy(x.c.Response(), x.c.Request())
}
