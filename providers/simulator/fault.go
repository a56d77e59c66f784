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

// FaultKind is a way for a request to fail.
type FaultKind string

// The kinds of faults. "Done" is what Fault.Applied says.
const (
	// Cut: the connection is cut instead of an answer. Not done: in the middle of the
	// request's body.
	Cut FaultKind = "cut"
	// Down: the connection is cut before anything of the request's body was read.
	Down FaultKind = "down"
	// HTMLTimeout: a gateway before the provider answers 504 with an HTML page.
	HTMLTimeout FaultKind = "html_timeout"
	// Stall: the request was read whole, and no answer comes until Fault.Until is
	// closed, or the client is gone. Then, where it is done, the answer comes;
	// otherwise the connection is cut.
	Stall FaultKind = "stall"
	// Refuse: an error as the provider gives it, with Status, Code and Message.
	Refuse FaultKind = "refuse"
	// RefuseIn200: the same error with status 200.
	RefuseIn200 FaultKind = "refuse_in_200"
	// NoID: the answer of a success, without the id, or without a list's data.
	NoID FaultKind = "no_id"
	// Truncated: the answer of a success, whose JSON ends in the middle.
	Truncated FaultKind = "truncated"
	// Garbage: status 200, and text that is no JSON.
	Garbage FaultKind = "garbage"
	// Endless: status 200, and JSON that doesn't end before the client leaves.
	Endless FaultKind = "endless"
	// Redirect: 307 to the same path at Fault.Location.
	Redirect FaultKind = "redirect"
	// SamePage: a list gives its first page, whichever is asked for.
	SamePage FaultKind = "same_page"
)

// Fault makes requests fail.
type Fault struct {
	// Op is the request to fail; empty means all. See Control.Requests for which
	// requests share a name.
	Op providers.Op
	// Times is how often; 0 means until Control.Clear.
	Times int
	// Skip lets so many requests through first.
	Skip int
	Kind FaultKind
	// Applied: what was asked for was done nevertheless. A request that is refused
	// anyway gets that answer instead of the fault. For Down, and SamePage, it means
	// nothing.
	Applied bool
	// Early: an answer that is not Applied comes before the request's body was read.
	Early bool

	// Status, Code and Message are those of Refuse and RefuseIn200.
	Status  int
	Code    string
	Message string
	// RetryAfter is sent as a header with them, in seconds; 0 means that none is sent.
	RetryAfter time.Duration
	// Until ends a Stall; nil means that only the client's leaving does.
	Until <-chan struct{}
	// Struck, where it isn't nil, is sent to each time the fault has struck, if it can
	// take it at once.
	Struck chan<- struct{}
	// Location is where a Redirect goes: scheme and host.
	Location string
}

// spoils reports whether a fault is made of the answer that a success has.
func (f *Fault) spoils() bool { return f.Kind == NoID || f.Kind == Truncated }

// take returns the fault that strikes this request; nil means none.
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
		if f.Times == 1 {
			c.faults = append(c.faults[:i:i], c.faults[i+1:]...)
		}
		f.Times = max(f.Times-1, 0)
		return f
	}
	return nil
}

// strike fails a request. The answer is that of the request if it was done, and
// zero if it wasn't.
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

// gatewayTimeoutPage is such as gateways put before an HTTP API.
const gatewayTimeoutPage = "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n" +
	"<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

// withoutID takes away what makes an answer usable. One that is no JSON object,
// such as a file's bytes, becomes an empty object.
func withoutID(a Answer) Answer {
	object := map[string]any{}
	if err := json.Unmarshal(a.Body, &object); err != nil {
		object = map[string]any{}
	}
	delete(object, "id")
	delete(object, "data")
	return JSON(http.StatusOK, object)
}

// wait returns when the channel is closed or the client is gone.
func wait(ctx context.Context, until <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-until:
	}
}

// writeEndless writes until the client has left.
func writeEndless(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	chunk := []byte(strings.Repeat("0", 32<<10))
	for _, err := io.WriteString(w, `{"id":"`); err == nil; {
		_, err = w.Write(chunk)
	}
}

// readHalf reads half of a request's body, or some of one of unknown length.
func readHalf(r *http.Request) {
	half := r.ContentLength / 2
	if half < 0 {
		half = 1 << 10
	}
	// The connection is cut next, whether the client is still there or not.
	_, _ = io.CopyN(io.Discard, r.Body, half)
}

// drain reads the rest of a request's body, so that the client is sure to be
// reading when the answer comes.
func drain(r *http.Request) {
	// A client that has left gets no answer either way.
	_, _ = io.Copy(io.Discard, r.Body)
}
