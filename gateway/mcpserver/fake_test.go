package mcpserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// fakeGateway answers requests about one blob.
type fakeGateway struct {
	content   []byte
	mediaType string
	extracted []byte // the text of the blob; nil: it has none
	name      string // of the blob
	// suspect: blobs come whole, whatever the range. sent is what comes in their place.
	suspect bool
	sent    []byte
	// broken: bodies break off, and the blob is suspect from then on.
	broken bool
	// chat answers chats.
	chat http.HandlerFunc
	// fail, if set, answers all requests.
	fail http.HandlerFunc

	ranges []string // of the requests for blobs; "" where there was none
	chats  []string // bodies
}

func (g *fakeGateway) digest() cas.Digest { return cas.DigestOf(g.content) }

// ServeHTTP implements http.Handler. The tests send one request at a time.
func (g *fakeGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := "/v1/blobs/" + g.digest().String()
	switch {
	case g.fail != nil:
		g.fail(w, r)
	case r.URL.Path == path+"/meta":
		w.Header().Set("Content-Type", "application/json")
		meta := api.BlobMeta{Blob: api.Blob{Digest: g.digest(), Size: int64(len(g.content)), MediaType: g.mediaType, Name: g.name}, State: cas.StateLive}
		if g.suspect {
			meta.State = cas.StateSuspect
		}
		_ = json.NewEncoder(w).Encode(meta) // the client finds what is missing
	case r.URL.Path == path:
		g.send(w, r, g.content)
	case r.URL.Path == path+"/text" || r.URL.Path == "/v1/blobs/"+cas.DigestOf(g.extracted).String():
		g.send(w, r, g.extracted)
	case r.URL.Path == path+"/url":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.SignedURL{URL: "http://gateway" + path + "?sig=x"})
	case r.URL.Path == "/v1/chat/completions":
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		g.chats = append(g.chats, body.String())
		g.chat(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (g *fakeGateway) send(w http.ResponseWriter, r *http.Request, content []byte) {
	g.ranges = append(g.ranges, r.Header.Get("Range"))
	w.Header().Set("ETag", `"`+cas.DigestOf(content).String()+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	if g.suspect {
		r.Header.Del("Range")
	}
	if g.sent != nil {
		content = g.sent
	}
	if g.broken {
		g.suspect = true
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// newClient returns a client of the fake.
func (g *fakeGateway) newClient(t *testing.T) *client.Client {
	t.Helper()
	fake := httptest.NewServer(g)
	t.Cleanup(fake.Close)
	c, err := client.New(fake.URL, client.Options{HTTPClient: fake.Client(), Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func anyScope(access.Scope) bool { return true }

// newTools returns the tools of a client of the fake.
func (g *fakeGateway) newTools(t *testing.T) *server {
	t.Helper()
	return &server{client: g.newClient(t), allows: anyScope}
}

// newAgent connects an agent to a server with these options.
func newAgent(t *testing.T, o Options) *mcp.ClientSession {
	t.Helper()
	o.Allows = anyScope
	ours, theirs := mcp.NewInMemoryTransports()
	if _, err := New(o).Connect(t.Context(), theirs, nil); err != nil {
		t.Fatal(err)
	}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), ours, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// contentText is all text of a tool's content.
func contentText(content []mcp.Content) string {
	var all strings.Builder
	for _, c := range content {
		if text, ok := c.(*mcp.TextContent); ok {
			all.WriteString(text.Text + "\n")
		}
	}
	return all.String()
}
