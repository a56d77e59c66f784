package main

import (
	"encoding/json"
	"testing"
)

func TestPrettyJSON(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`"a"`:                             `"a"`,
		`{"b":1,"a":[]}`:                  "{\n  \"b\": 1,\n  \"a\": []\n}",
		`"\u003ca\u003e \u0026 \" \\"`:    `"<a> & \" \\"`,
		`"\\u0026 \\\u0026 \\\\u003c"`:    `"\\u0026 \\& \\\\u003c"`,
		`"\u00e4\u2028\n \ud83d\ude00"`:   `"\u00e4\u2028\n \ud83d\ude00"`,
		`{"\u0026":{"x":"\u0026\u0026"}}`: "{\n  \"&\": {\n    \"x\": \"&&\"\n  }\n}",
	} {
		got, err := prettyJSON(json.RawMessage(raw))
		if err != nil || string(got) != want {
			t.Errorf("%s becomes %s, %v; want %s", raw, got, err, want)
		}
	}
	if got, err := prettyJSON(json.RawMessage(`{"a`)); err == nil {
		t.Errorf("half an object becomes %s", got)
	}
}
