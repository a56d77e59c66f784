package duration

import "testing"

func TestParse(t *testing.T) {
	for text, want := range map[string]string{"7d": "168h0m0s", "1d12h": "36h0m0s", "0d": "0s", "90m": "1h30m0s", "7": "", "d": "", "1d-2h": "", "9999999d": "", "1h2d": ""} {
		d, err := Parse(text)
		if want == "" != (err != nil) || want != "" && d.String() != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
}
