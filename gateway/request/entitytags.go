package request

import (
	"strings"

	"casgate/cas"
)

// ETag returns the strong entity tag of a blob.
func ETag(d cas.Digest) string { return `"` + d.String() + `"` }

// comparison is one of the two ways to compare entity tags (RFC 9110, section
// 8.8.3.2).
type comparison int

const (
	strongly comparison = iota // tags marked weak never match: for If-Match
	weakly                     // the mark is ignored: for If-None-Match
)

// MatchesStrongly reports whether the lists of entity tags in If-Match fields (RFC
// 9110, section 13.1.1) contain etag or "*".
func MatchesStrongly(lists []string, etag string) bool { return matchesAny(lists, etag, strongly) }

// MatchesWeakly reports whether the lists of entity tags in If-None-Match fields (RFC
// 9110, section 13.1.2) contain etag or "*".
func MatchesWeakly(lists []string, etag string) bool { return matchesAny(lists, etag, weakly) }

func matchesAny(lists []string, etag string, how comparison) bool {
	for _, list := range lists {
		if matches(list, etag, how) {
			return true
		}
	}
	return false
}

// matches reports whether one list has the tag.
func matches(list, etag string, how comparison) bool {
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
		if tag == etag && (how == weakly || !isWeak) {
			return true
		}
	}
}
