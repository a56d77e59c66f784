package gateway

import (
	"net/http"
	"strings"
	"testing"

	"casgate/cas/journal"
)

// looks are the requests that are no operations, though they could be.
var looks = map[endpoint]bool{
	{http.MethodPost, "/v1/blobs/find-missing"}: true,
	{http.MethodPost, "/v1/blobs/:digest/url"}:  true,
}

// Each route is an operation or a look: a new one must be thought of.
func TestRoutesAreOperationsOrLooks(t *testing.T) {
	g, err := New(Options{PublicURL: "http://127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	routes := map[endpoint]bool{}
	for _, r := range g.echo.Routes() {
		at := endpoint{r.Method, r.Path}
		routes[at] = true
		changes := r.Method != http.MethodGet && r.Method != http.MethodHead
		bytes := r.Method == http.MethodGet && strings.HasSuffix(r.Path, "/content") || r.Method == http.MethodGet && strings.HasSuffix(r.Path, "/text")
		if kind := operationKinds[at]; (changes || bytes) && kind == "" && !looks[at] {
			t.Errorf("%s %s leaves no record; give it a kind, or say that it only looks", r.Method, r.Path)
		} else if bytes && kind != journal.KindDownload {
			t.Errorf("%s %s is of kind %q", r.Method, r.Path, kind)
		}
	}
	for at := range operationKinds {
		if !routes[at] {
			t.Errorf("there is no route %s %s", at.method, at.route)
		}
	}
}
