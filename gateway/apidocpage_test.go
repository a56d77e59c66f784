package gateway_test

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"casgate/cas"
	"casgate/cas/castest"
)

// The served description is the gateway's own: it has its public URL.
func TestOpenAPIHasThePublicURL(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.PublicURL = "https://files.example.com/below" })
	for _, path := range []string{"/openapi.yaml", "/openapi.json"} {
		spec, err := openapi3.NewLoader().LoadFromData(s.do("GET", path, nil).body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(spec.Servers) != 1 || spec.Servers[0].URL != "https://files.example.com/below" || spec.Paths.Len() < 40 {
			t.Errorf("%s has %d paths and the servers %+v", path, spec.Paths.Len(), spec.Servers)
		}
	}
	page := s.do("GET", "/docs", nil)
	if page.ContentLength != int64(len(page.body)) {
		t.Errorf("the page of %d bytes has a Content-Length of %d", len(page.body), page.ContentLength)
	}
	for _, foreign := range []string{"src=", "http://", "https://"} {
		if strings.Contains(string(page.body), foreign) {
			t.Errorf("the page has %q", foreign)
		}
	}
}

// The page shows every operation and schema, opens the one that its URL names, and finds
// words.
func TestDocsInChromium(t *testing.T) {
	castest.Slow(t)
	s := start(t, embedded(t, t.TempDir()), nil)
	spec, err := openapi3.NewLoader().LoadFromData(s.do("GET", "/openapi.json", nil).body)
	if err != nil {
		t.Fatal(err)
	}
	operations := 0
	for _, item := range spec.Paths.Map() {
		operations += len(item.Operations())
	}
	c := startChromium(t)
	if !c.open(s.url + "/docs#uploadBlob") {
		t.Fatal("the page did not load")
	}
	c.until("the description", `document.getElementById('main').getAttribute('aria-busy') === 'false'`)
	if got := c.evaluate(`document.querySelectorAll('.method').length`); got != float64(operations) {
		t.Errorf("the page shows %v operations of %d", got, operations)
	}
	if got := c.evaluate(`document.querySelectorAll('details[id^="schema-"]').length`); got != float64(len(spec.Components.Schemas)) {
		t.Errorf("the page shows %v schemas of %d", got, len(spec.Components.Schemas))
	}
	if c.evaluate(`document.getElementById('uploadBlob').open`) != true {
		t.Error("the operation of the URL is not open")
	}
	c.evaluate(`(() => { const find = document.getElementById('find'); find.value = 'find-missing'; find.dispatchEvent(new Event('input')); return true })()`)
	if got := c.evaluate(`[...document.querySelectorAll('#main details')].filter((d) => !d.hidden).length`); got != float64(1) {
		t.Errorf("%v entries have the word", got)
	}
	broken := c.evaluate(`[...document.querySelectorAll('#main a[href^="#"]')].filter((a) => !document.getElementById(a.hash.slice(1))).length`)
	if broken != float64(0) {
		t.Errorf("%v links lead nowhere", broken)
	}
}
