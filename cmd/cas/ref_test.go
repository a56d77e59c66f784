package main

import (
	"encoding/json"
	"testing"

	"casgate/gateway/api"
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

func TestURLsThatNoProviderReaches(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`{"type":"file_url","file_url":{"url":"http://127.0.0.1:8080/v1"}}`: "127.0.0.1:8080",
		`{"type":"file_url","file_url":{"url":"http://[::1]:8080/v1"}}`:     "[::1]:8080",
		`{"type":"file_url","file_url":{"url":"https://localhost/v1"}}`:     "localhost",
		`{"type":"file_url","file_url":{"url":"https://example.org/v1"}}`:   "",
		`{"type":"file_url","file_url":{"url":"ms://file_1"}}`:              "",
		`{"role":"system","content":"http://127.0.0.1/"}`:                   "",
		`"file_1"`: "",
		`null`:     "",
	} {
		if got := localHost(api.Reference{Kind: "file_url", Value: json.RawMessage(value)}); got != want {
			t.Errorf("of %s: %q, want %q", value, got, want)
		}
	}
}
