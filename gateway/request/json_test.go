package request

import (
	"encoding/json"
	"strings"
	"testing"
)

// Of two members of a name, no reader can tell which one counts.
func TestDecodeOnce(t *testing.T) {
	t.Parallel()
	type asked struct {
		Name   string            `json:"name"`
		Tags   []string          `json:"tags"`
		Labels map[string]string `json:"labels"`
	}
	for body, want := range map[string]string{
		`{"name":"x","tags":["name","name"],"labels":{"name":"y","Name":"z"}}`: "",
		`{"NAME":"x"}`:                      "",
		`{}`:                                "",
		`null`:                              "",
		`{"name":"x","name":"x"}`:           "twice",
		`{"name":"x","tags":[],"NAME":"y"}`: "twice",
		`{"name":"x","\u006eame":"y"}`:      "twice",
		`{"tags":[],"tagſ":["y"]}`:          "twice",
		`{"name":"\ud83d\ude00"}`:           "",
		`{"name":"\ud83d"}`:                 "half a surrogate pair",
		`{"name":"x","other":"y"}`:          "unknown field",
		`[]`:                                "cannot unmarshal",
	} {
		var got asked
		err := decodeOnce(json.RawMessage(body), &got)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}
