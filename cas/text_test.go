package cas_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"casgate/cas"
)

func TestStorableText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "abcd": "abcd", "abcde": "abcd", "abcü": "abc", "a\x00": "a\ufffd", "a\xc3": "a\ufffd", "ab\x00": "ab",
	} {
		if got := cas.StorableText(text, 4); got != want {
			t.Errorf("%q becomes %q; want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text, most := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), rapid.IntRange(0, 20).Draw(t, "most")
		got := cas.StorableText(text, most)
		if cas.CheckText("text", got) != nil || len(got) > most {
			t.Errorf("%q becomes %q, of at most %d bytes", text, got, most)
		}
		if utf8.ValidString(text) && !strings.Contains(text, "\x00") && !strings.HasPrefix(text, got) {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
