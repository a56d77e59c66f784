package gateway

import (
	"strings"

	"casgate/cas"
)

// etagOf returns a blob's strong entity tag.
func etagOf(d cas.Digest) string { return `"` + d.String() + `"` }

// matchesETag reports whether a list of entity tags as in If-None-Match and
// If-Match (RFC 9110, section 13.1) has etag or is "*". Tags marked weak match
// only where weak is true.
func matchesETag(list, etag string, weak bool) bool {
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			return false
		}
		if list[0] == '*' {
			return true
		}
		isWeak := strings.HasPrefix(list, "W/")
		if isWeak {
			list = list[2:]
		}
		if len(list) == 0 || list[0] != '"' {
			return false // malformed from here on
		}
		end := strings.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		tag := list[:end+2]
		list = list[end+2:]
		if tag == etag && (weak || !isWeak) {
			return true
		}
	}
}
