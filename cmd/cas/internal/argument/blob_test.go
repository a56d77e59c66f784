package argument

import (
	"strings"
	"testing"
)

// Text that can be no blob is an error that says what can.
func TestBlobSaysWhatItTakes(t *testing.T) {
	for _, text := range []string{"", "70db3c6", "README.md", "ABCDEF0123"} {
		var b Blob
		if err := b.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "its first 8 digits or more") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
