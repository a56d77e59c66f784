package terminal

import (
	"errors"
	"strings"
	"testing"
)

// TestErrorsWithoutControls: an error can't make a terminal do anything, whatever its source.
func TestErrorsWithoutControls(t *testing.T) {
	t.Parallel()
	err := errors.New("kimi answered:\n\t\x1b]0;title\x07\u009b31mred\x7f\r é")
	var out strings.Builder
	Fail(&out, err)
	PrintError(&out, "a\x1bb", err)
	const text = "kimi answered:\n\t]0;title31mred é\n"
	if want := "cas: " + text + `cas: "a\x1bb": ` + text; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
