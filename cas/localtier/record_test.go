package localtier

import (
	"testing"

	"pgregory.net/rapid"

	"casgate/cas/folderstore"
)

// The next part with bytes is found from each part, also behind the last one.
func TestNextPartWithBytes(t *testing.T) {
	t.Parallel()
	part := rapid.Custom(func(t *rapid.T) folderstore.Part {
		if rapid.Bool().Draw(t, "near") { // in one word of the bits
			return folderstore.Part(rapid.IntRange(0, 63).Draw(t, "part"))
		}
		return folderstore.Part(rapid.Uint16().Draw(t, "part"))
	})
	rapid.Check(t, func(t *rapid.T) {
		r := new(record)
		for _, p := range rapid.SliceOfN(part, 0, 5).Draw(t, "parts") {
			r.count(p, 1)
		}
		for _, p := range rapid.SliceOfN(part, 0, 3).Draw(t, "emptied") {
			r.count(p, 0)
		}
		from := part.Draw(t, "from")
		want := 0
		for want < folderstore.Parts && r.bytes[from+folderstore.Part(want)] == 0 {
			want++
		}
		if got := r.toFilled(from); got != want {
			t.Fatalf("%d parts from %d on, want %d", got, from, want)
		}
	})
}
