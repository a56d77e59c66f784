package gateway

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"casgate/cas/journal"
	"casgate/gateway/console"
	"casgate/gateway/mcpapi"
)

// unrecorded are the requests that could be operations, and are not.
var unrecorded = map[string]bool{
	"POST /v1/blobs/find-missing": true,
	"POST /v1/blobs/:digest/url":  true,
	"POST /v1/upload-urls":        true,
	"POST /mcp":                   true, // the requests of its tools are recorded
	"POST /console/session":       true,
	"DELETE /console/session":     true,
}

// Each route is an operation or a look. A new route must be one of them on purpose.
func TestRoutesAreOperationsOrLooks(t *testing.T) {
	for _, r := range (&handlers{console: &console.Handler{}, mcp: &mcpapi.Handlers{}}).routes() {
		changes := r.method != http.MethodGet
		bytes := !changes && (strings.HasSuffix(r.path, "/content") || strings.HasSuffix(r.path, "/text"))
		if (changes || bytes) && r.kind == looks && !unrecorded[r.method+" "+r.path] {
			t.Errorf("%s %s leaves no record; give it a kind, or say that it only looks", r.method, r.path)
		} else if bytes && r.kind != journal.KindDownload {
			t.Errorf("%s %s is of kind %q", r.method, r.path, r.kind)
		}
	}
}

// The overview of the API has each route of programs.
func TestOverviewHasTheRoutes(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.NewReplacer("{digest}", ":", "{id}", ":", "{provider}", ":").Replace(string(page))
	parameter := regexp.MustCompile(":[a-z]+")
	for _, r := range (&handlers{mcp: &mcpapi.Handlers{}}).routes() {
		path := strings.Replace(parameter.ReplaceAllString(r.path, ":"), "*", ":", 1)
		isOther := strings.HasPrefix(path, "/openapi.") || strings.HasPrefix(path, docsPath)
		for _, d := range doors {
			isOther = isOther || strings.HasPrefix(path, d.prefix)
		}
		if isOther {
			continue // the page has these in its text, and in one row
		}
		short := path
		for _, of := range []string{"/v1/blobs/:", "/v1/files/:"} {
			short = strings.Replace(short, of+"/", "…/", 1)
		}
		if !hasRoute(rows, r.method, path) && !hasRoute(rows, r.method, short) {
			t.Errorf("docs/reference/api.md lacks %s %s", r.method, r.path)
		}
	}
}

// hasRoute reports whether a row has a method, perhaps with others, and the path.
func hasRoute(rows, method, path string) bool {
	return regexp.MustCompile("(?m)^\\|.*`" + method + "`?(, `[A-Z]+)* " + regexp.QuoteMeta(path) + "[`?]").MatchString(rows)
}

// An upload URL uses the share of its token, or a token could have two.
func TestShareOfUploadURLs(t *testing.T) {
	for actor, want := range map[string]string{"token:a": "token:a", "url:a": "token:a", "url:": journal.ActorNone, journal.ActorNone: journal.ActorNone} {
		if got := shareholder(actor); got != want {
			t.Errorf("%s uses the share of %s, want %s", actor, got, want)
		}
	}
}
