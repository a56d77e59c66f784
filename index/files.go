package index

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"casgate/cas"
)

// FileReason returns the reason why a file's bytes could not be read, as an index
// stores it.
func FileReason(reason string) string { return cas.StorableText(reason, maxReason) }

const maxReason = 1000 // bytes

// PrefixEnd returns the least text, in byte order, that is greater than all texts with
// this prefix. Bounded is false if there is no such text.
func PrefixEnd(prefix string) (end string, bounded bool) {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch last {
		case utf8.MaxRune:
			continue // no character is greater, so the one before it must grow
		case 0xD7FF:
			last = 0xDFFF // the values between the two are not characters
		}
		return prefix + string(last+1), true
	}
	return "", false
}

// IsEmptyObject reports whether metadata, which is an object, is {}.
func IsEmptyObject(metadata json.RawMessage) bool {
	inner := bytes.TrimSpace(metadata)
	return len(bytes.TrimSpace(inner[1:len(inner)-1])) == 0
}
