package request_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"casgate/gateway/request"
)

// FuzzCheckQuery compares with what net/url reads.
func FuzzCheckQuery(f *testing.F) {
	for _, query := range []string{"", "a=b", "a=b&c=d", "a=%41", "a=%zz", "a=%", "a;b", "a=b;c", "a=ü+\x00", "&&=&", strings.Repeat("a&", 20_000)} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		_, wanted := url.ParseQuery(query)
		err := request.CheckQuery(&http.Request{URL: &url.URL{RawQuery: query}})
		if (err == nil) != (wanted == nil) {
			t.Errorf("%q: %v; net/url has %v", query, err, wanted)
		}
	})
}
