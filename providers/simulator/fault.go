package simulator

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"casgate/providers"
)

// FaultKind is a way in which a request fails.
type FaultKind string

// The kinds of faults. "Applied" refers to Fault.Applied.
const (
	// Cut: the connection is cut instead of an answer. If not applied, it is cut in the
	// middle of the request's body.
	Cut FaultKind = "cut"
	// Down: the connection is cut before the request's body is read.
	Down FaultKind = "down"
	// HTMLTimeout: a proxy in front of the provider answers 504 with an HTML page.
	HTMLTimeout FaultKind = "html_timeout"
	// Stall: the whole request is read, but no answer comes until Fault.Until is closed or
	// the client has left. Then, if applied, the answer comes; otherwise the connection is
	// cut.
	Stall FaultKind = "stall"
	// Refuse: an error in the provider's form, with Status, Code and Message.
	Refuse FaultKind = "refuse"
	// RefuseIn200: the same error with status 200.
	RefuseIn200 FaultKind = "refuse_in_200"
	// NoID: the answer of a success without the id, or without a list's data.
	NoID FaultKind = "no_id"
	// Truncated: the answer of a success, with incomplete JSON.
	Truncated FaultKind = "truncated"
	// Garbage: status 200 with text that is not JSON.
	Garbage FaultKind = "garbage"
	// Endless: status 200 with JSON that never ends.
	Endless FaultKind = "endless"
	// Redirect: 307 to the same path at Fault.Location.
	Redirect FaultKind = "redirect"
	// SamePage: a list answers with its first page to all requests.
	SamePage FaultKind = "same_page"
)

// Fault makes requests fail.
type Fault struct {
	// Op is the kind of request that fails; empty means all. Control.Requests says which
	// kinds share an op.
	Op providers.Op
	// Times is the number of failures; 0 means until Control.Clear.
	Times int
	// Skip is the number of requests that pass first.
	Skip int
	// Chance is the probability with which it hits a request, between 0 and 1; 0 means
	// every request. Control.Seed makes the draws repeatable. A request that is spared goes
	// on to the next fault, so several faults can share an op.
	Chance float64
	Kind   FaultKind
	// Applied: the request takes effect anyway. A request that the provider refuses gets
	// the refusal instead of the fault. It has no meaning for Down and SamePage.
	Applied bool
	// Early: an answer that is not Applied comes before the request's body is read.
	Early bool

	// Status, Code and Message are those of Refuse and RefuseIn200.
	Status  int
	Code    string
	Message string
	// RetryAfter is the header Retry-After with them; 0 means no header.
	RetryAfter time.Duration
	// Until ends a Stall; nil means that it ends when the client leaves.
	Until <-chan struct{}
	// Struck gets a value each time the fault was applied, without blocking. Optional.
	Struck chan<- struct{}
	// Location is the target of a Redirect: scheme and host.
	Location string
}

// spoils reports whether a fault changes the answer of a success.
func (f *Fault) spoils() bool { return f.Kind == NoID || f.Kind == Truncated }

// take returns the fault for this request, or nil.
func (c *Core) take(op providers.Op) *Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range c.faults {
		if f.Op != "" && f.Op != op {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Chance > 0 && c.random.Float64() >= f.Chance {
			continue
		}
		if f.Times == 1 {
			c.faults = append(c.faults[:i:i], c.faults[i+1:]...)
		}
		f.Times = max(f.Times-1, 0)
		return f
	}
	return nil
}

// strike fails a request. The answer done is the request's if it was applied, and
// otherwise zero.
func (c *Core) strike(f *Fault, w http.ResponseWriter, r *http.Request, done Answer) {
	if f.Kind != Stall {
		defer f.tell()
	}
	switch f.Kind {
	case Down:
		panic(http.ErrAbortHandler)
	case Cut:
		if !f.Applied {
			readHalf(r)
		}
		panic(http.ErrAbortHandler)
	}
	if !f.Early {
		drain(r)
	}
	switch f.Kind {
	case HTMLTimeout:
		done = Answer{Status: http.StatusGatewayTimeout, ContentType: "text/html", Body: []byte(gatewayTimeoutPage)}
	case Stall:
		f.tell()
		wait(r.Context(), f.Until)
		if !f.Applied {
			panic(http.ErrAbortHandler)
		}
	case Refuse, RefuseIn200:
		done = c.Error(f.Status, f.Code, f.Message)
		if f.RetryAfter > 0 {
			done.Header = http.Header{"Retry-After": {strconv.Itoa(int((f.RetryAfter + time.Second - 1) / time.Second))}}
		}
		if f.Kind == RefuseIn200 {
			done.Status = http.StatusOK
		}
	case NoID:
		done = withoutID(done)
	case Truncated:
		if len(done.Body) == 0 {
			done = JSON(http.StatusOK, map[string]any{"id": "truncated", "object": "file"})
		}
		done.Body = done.Body[:len(done.Body)/2]
	case Garbage:
		done = Answer{Status: http.StatusOK, ContentType: "text/plain", Body: []byte("upstream connect error or disconnect/reset before headers")}
	case Endless:
		writeEndless(w)
		return
	case Redirect:
		done = Answer{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {f.Location + r.URL.RequestURI()}}}
	}
	done.write(w)
}

func (f *Fault) tell() {
	select {
	case f.Struck <- struct{}{}:
	default:
	}
}

// gatewayTimeoutPage is a typical page of an HTTP proxy.
const gatewayTimeoutPage = "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n" +
	"<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

// withoutID removes the id, the name and the data from an answer. An answer that is not a JSON
// object, such as a file's bytes, becomes an empty object.
func withoutID(a Answer) Answer {
	object := map[string]any{}
	if err := json.Unmarshal(a.Body, &object); err != nil {
		object = map[string]any{}
	}
	for _, name := range []string{"id", "data", "name", "file"} {
		delete(object, name)
	}
	return JSON(http.StatusOK, object)
}

// wait returns when the channel is closed or the client has left.
func wait(ctx context.Context, until <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-until:
	}
}

// writeEndless writes until the client leaves.
func writeEndless(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	chunk := []byte(strings.Repeat("0", 32<<10))
	for _, err := io.WriteString(w, `{"id":"`); err == nil; {
		_, err = w.Write(chunk)
	}
}

// readHalf reads half of a request's body, or 1 KiB if its length is unknown.
func readHalf(r *http.Request) {
	half := r.ContentLength / 2
	if half < 0 {
		half = 1 << 10
	}
	// The connection is cut next, so the error doesn't matter.
	_, _ = io.CopyN(io.Discard, r.Body, half)
}

// drain reads the rest of a request's body, so that the client is reading when the
// answer comes.
func drain(r *http.Request) {
	// A client that has left gets no answer either way.
	_, _ = io.Copy(io.Discard, r.Body)
}
