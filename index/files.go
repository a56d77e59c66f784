package index

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// FileReason is what an index keeps of the reason why a file's bytes could not be
// taken in. As with errors of copies, it is not worth failing for.
func FileReason(reason string) string { return storable(cut(reason, maxReason)) }

const maxReason = 1000 // bytes

// cut shortens a text to at most most bytes, at the end of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// PrefixEnd returns the least text, by its bytes, that is greater than all those that
// begin with prefix; bounded is false where there is none.
func PrefixEnd(prefix string) (end string, bounded bool) {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch last {
		case utf8.MaxRune:
			continue // there is none after it, so the one before it must grow
		case 0xD7FF:
			last = 0xDFFF // what lies between them are no characters
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
