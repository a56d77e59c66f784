package request

import (
	"strings"
	"testing"

	"casgate/cas"
)

func TestMatchesETag(t *testing.T) {
	etag := ETag(cas.DigestOf(nil))
	for list, want := range map[string]bool{
		etag: true, "W/" + etag: true, "*": true, ` "a", ` + etag: true, `"a",W/"b",` + etag + `,"c"`: true,
		"": false, `"a"`: false, strings.Trim(etag, `"`): false, etag[:len(etag)-1]: false, "W/": false, `"a" x ` + etag: false, ",,": false,
	} {
		if got := matches(list, etag, weakly); got != want {
			t.Errorf("%q: %t", list, got)
		}
	}
	if matches("W/"+etag, etag, strongly) {
		t.Error("a weak tag matches strongly")
	}
}

func FuzzMatchesETag(f *testing.F) {
	etag := ETag(cas.DigestOf(nil))
	f.Add(`"a", W/"b"`)
	f.Fuzz(func(t *testing.T, list string) {
		if matches(list, etag, strongly) && !matches(list, etag, weakly) {
			t.Fatalf("%q matches strongly, not weakly", list)
		}
		if !strings.ContainsAny(list, "*") && !strings.Contains(list, etag) && matches(list, etag, weakly) {
			t.Fatalf("%q matches", list)
		}
	})
}
