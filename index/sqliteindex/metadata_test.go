package sqliteindex

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"casgate/cas"
)

// values draws JSON of few shapes, so that many contain each other.
func values(depth int) *rapid.Generator[any] {
	plain := rapid.SampledFrom([]any{nil, true, false, "", "a", json.Number("1"), json.Number("1.0"), json.Number("10e-1"), json.Number("2")})
	if depth == 0 {
		return plain
	}
	inner := values(depth - 1)
	return rapid.OneOf(plain,
		rapid.Map(rapid.SliceOfN(inner, 0, 3), func(list []any) any { return list }),
		rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"", "a", "b", "a.b", "*"}), inner, 0, 3), func(m map[string]any) any { return m }))
}

// An object has all terms of every object that it contains; otherwise a search by them
// would miss it.
func TestTermsFindWhatContains(t *testing.T) {
	t.Parallel()
	objects := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), values(3), 0, 2)
	contained := 0
	rapid.Check(t, func(t *rapid.T) {
		have, want := objects.Draw(t, "have"), objects.Draw(t, "want")
		if rapid.Bool().Draw(t, "part") {
			want = part(t, have).(map[string]any)
		}
		if !contains(have, want) {
			return
		}
		contained++
		terms := fileTerms(cas.File{}, have)
		for _, term := range metadataTerms(want) {
			if !slices.Contains(terms, term) {
				t.Fatalf("%v contains %v, and doesn't have all its terms", have, want)
			}
		}
	})
	if contained == 0 {
		t.Error("none contained another")
	}
}

// part draws something that a value contains.
func part(t *rapid.T, value any) any {
	switch value := value.(type) {
	case map[string]any:
		less := map[string]any{}
		for key, inner := range value {
			if rapid.Bool().Draw(t, "keep") {
				less[key] = part(t, inner)
			}
		}
		return less
	case []any:
		less := []any{}
		for _, inner := range value {
			for range rapid.IntRange(0, 2).Draw(t, "times") {
				less = append(less, part(t, inner))
			}
		}
		slices.Reverse(less)
		return less
	}
	return value
}

// Every part that is drawn is contained.
func TestContainsParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := values(3).Draw(t, "value")
		if less := part(t, value); !contains(value, less) {
			t.Fatalf("%v doesn't contain %v", value, less)
		}
	})
}
