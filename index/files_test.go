package index_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"casgate/index"
)

// Exactly the texts with a prefix lie between the prefix and its end.
func TestPrefixEnd(t *testing.T) {
	t.Parallel()
	text := rapid.StringOfN(rapid.SampledFrom([]rune("aAz/0ä\ud7ff\ue000😀\U0010ffff")), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		prefix, name := text.Draw(t, "prefix"), text.Draw(t, "name")
		end, bounded := index.PrefixEnd(prefix)
		between := name >= prefix && (!bounded || name < end)
		if between != strings.HasPrefix(name, prefix) {
			t.Errorf("%q is between %q and %q (bounded %v): %v", name, prefix, end, bounded, between)
		}
	})
}
