package terminal

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// Printable returns text that is safe on one line of a terminal. Text with line
// breaks, control sequences and the like comes back quoted.
func Printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// WithoutControls removes control characters from a text, except line ends and tabs. A
// terminal would follow them, and a provider or a document may have put them there.
func WithoutControls(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}

// Shorten cuts characters out of the middle of a text, so that at most `most` are
// left.
func Shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	head := most / 3
	return string(runes[:head]) + "…" + string(runes[len(runes)-(most-head-1):])
}

// Size formats a number of bytes for people, such as 5.0 MiB.
func Size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// SizeAt is Size for what was created at this time. Without a time, the gateway didn't
// show the size, since the token lacks the scope read.
func SizeAt(n int64, created time.Time) string {
	if created.IsZero() {
		return "-"
	}
	return Size(n)
}

// YesNo formats a boolean for people.
func YesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// Time formats a time to the minute, in UTC. The zero time becomes the text none.
func Time(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// OptionalTime is Time, where nil becomes the text none.
func OptionalTime(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return Time(*t, none)
}

// UnixTime formats a time in seconds since 1970, to the second, in UTC. Zero becomes
// the text none.
func UnixTime(seconds int64, none string) string {
	if seconds == 0 {
		return none
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}
