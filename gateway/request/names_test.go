package request

import (
	"strings"
	"testing"
)

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "a.txt": "a.txt", "/etc/passwd": "passwd", `C:\x\y.pdf`: "y.pdf", "..": "", "a/..": "", "日本.txt": "日本.txt", "dir/": "", "😀": "😀",
		strings.Repeat("n", 255): strings.Repeat("n", 255),
	} {
		if got, err := CleanName(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"a\x00b", "a\nb", "\x7f", "\xff", strings.Repeat("n", 256), "\u0085"} {
		if got, err := CleanName(name); err == nil {
			t.Errorf("%q was taken as %q", name, got)
		}
	}
}
