package cas_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"casgate/cas"
)

func TestCheckMetadata(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{}`: true, " {\n} ": true, `{"a":[{"b":null}]}`: true, `{"a":"\ud83d\ude00"}`: true, `{"a":"\\u0000 \\ud800"}`: true,
		`{"a":"\u0001"}`: true, `{"a":"\""}`: true, `{"a":1e400}`: true, `{"a":-1.5E-400}`: true, `{"a":0e0}`: true,
		``: false, `[]`: false, `null`: false, `{`: false, `{} {}`: false, `{"a":01}`: false,
		`{"a":"\u0000"}`: false, `{"\u0000":1}`: false, `{"a":"\ud83d"}`: false, `{"a":"\ude00"}`: false, `{"a":"\ud83d\u0041"}`: false,
		`{"a":"\ud83d\\ude00"}`: false, `{"a":"\ud83dx"}`: false, `{"a":"\ud83d\n"}`: false, "{\"a\":\"\xff\"}": false,
		`{"a":1e401}`: false, `{"a":1e-401}`: false, `{"a":` + strings.Repeat("9", 129) + `}`: false,
		`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`: true,
		`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`: false,
		`{"a":[` + strings.Repeat("{},", 1000) + `1]}`:                    true,
		`{"a":"` + strings.Repeat("a", 16<<10) + `"}`:                     false,
	} {
		err := cas.CheckMetadata(json.RawMessage(text))
		if (err == nil) != want || (err != nil && !errors.Is(err, cas.ErrInvalidFile)) {
			t.Errorf("%.60s: %v; want it taken: %v", text, err, want)
		}
	}
}

// Two numbers have the same form exactly if they are equal.
func TestCanonicalNumber(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,4})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		if rapid.Bool().Draw(t, "equal") { // which chance alone hardly makes
			b = a
			if !strings.ContainsAny(b, ".eE") {
				b += ".0"
			}
		}
		formA, okA := cas.CanonicalNumber(json.Number(a))
		formB, okB := cas.CanonicalNumber(json.Number(b))
		ratA, _ := new(big.Rat).SetString(a)
		ratB, _ := new(big.Rat).SetString(b)
		if !okA || !okB || (formA == formB) != (ratA.Cmp(ratB) == 0) {
			t.Errorf("%s is %s (%v), %s is %s (%v)", a, formA, okA, b, formB, okB)
		}
	})
}
