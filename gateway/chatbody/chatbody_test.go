package chatbody

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// scan reads a body, and wants it taken.
func scan(t interface {
	Helper()
	Fatalf(string, ...any)
}, body string) *Body {
	t.Helper()
	b, err := Scan([]byte(body), &ChatCompletions)
	if err != nil {
		t.Fatalf("%.300s: %v", body, err)
	}
	return b
}

func text(e *Edit) string {
	pieces, size := e.Pieces()
	joined := bytes.Join(pieces, nil)
	if int64(len(joined)) != size {
		panic("the pieces have another size")
	}
	return string(joined)
}

func TestScanFindsParts(t *testing.T) {
	t.Parallel()
	b := scan(t, ` {"x":{"model":"no"},"messages":[{"role":"system","content":"sha256:x"},
		{"content" : [ {"type":"text","text":"file_id"}, { "file":{"filename":"a\/b.pdf","file_id":"file-1"},"type":"file" } ],"role":"user"},
		{"role":"user","content":[{"type":"image_url","image_url":"u1"},{"type":"video_url","video_url":{"url":"\u0075\u0032"}},{"type":"file","file":{"file_data":"QQ==","file_id":""}},{"type":"image_url"},7,null,[]]}
	],"mod\u0065l":"kimi\/k2","index":0,"s":""} `)
	if !b.HasModel || b.Model != "kimi/k2" {
		t.Errorf("model %q", b.Model)
	}
	for i, want := range []struct {
		param, kind string
		meaning     Meaning
		text        string
		at          string
	}{
		{"messages[1].content[1]", "file", FileID, "file-1", "messages[1].content[1].file.file_id"},
		{"messages[2].content[0]", "image_url", URL, "u1", "messages[2].content[0].image_url"},
		{"messages[2].content[1]", "video_url", URL, "u2", "messages[2].content[1].video_url.url"},
		{"messages[2].content[2]", "file", FileData, "QQ==", "messages[2].content[2].file.file_data"},
	} {
		if i >= len(b.Parts) {
			t.Fatalf("%d parts", len(b.Parts))
		}
		p := b.Parts[i]
		v, ok := p.Value(want.meaning)
		if p.Param.String() != want.param || p.Type != want.kind || !ok || string(v.Text) != want.text || v.Param.String() != want.at {
			t.Errorf("part %d: %s %s %q %s", i, p.Param, p.Type, v.Text, v.Param)
		}
	}
	if name, ok := b.Parts[0].Value(FileName); !ok || string(name.Text) != "a/b.pdf" {
		t.Errorf("name %q", name.Text)
	}
	if _, ok := b.Parts[3].Value(FileID); ok {
		t.Error("an empty id counts")
	}
	if _, ok := b.Parts[4].Value(URL); ok || len(b.Parts) != 5 {
		t.Errorf("%d parts; the last has a URL: %t", len(b.Parts), ok)
	}
}

// TestShortFileParts: the id of a file may stand in the part itself.
func TestShortFileParts(t *testing.T) {
	t.Parallel()
	b := scan(t, `{"messages":[{"content":[{"type":"file","file_id":"file-1","x":1}]}]}`)
	id, ok := b.Parts[0].Value(FileID)
	if !ok || string(id.Text) != "file-1" || id.Param.String() != "messages[0].content[0].file_id" {
		t.Errorf("%q at %s", id.Text, id.Param)
	}
	for with, want := range map[string]string{
		`{"type":"file","file_id":"f2"}`:          `{"type":"file","file_id":"f2","x":1}`,
		`{"type":"file","file":{"file_id":"f2"}}`: `{"type":"file","file":{"file_id":"f2"},"x":1}`,
		`{"type":"text","text":"t"}`:              `{"type":"text","text":"t"}`,
	} {
		edit := b.Edit()
		if err := edit.Replace(b.Parts[0], []byte(with)); err != nil {
			t.Fatal(err)
		}
		if got := text(edit); got != `{"messages":[{"content":[`+want+`]}]}` {
			t.Errorf("got %s", got)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}" }
	for name, test := range map[string]struct{ body, param, reason string }{
		"nothing":                   {"", "", "not a JSON object"},
		"space":                     {" \n", "", "not a JSON object"},
		"a list":                    {"[]", "", "not a JSON object"},
		"a string":                  {`"x"`, "", "not a JSON object"},
		"half an object":            {`{"a":1`, "", "ends within"},
		"something after":           {`{} {}`, "", "after the JSON object"},
		"rubbish after":             {`{} x`, "", "after the JSON object"},
		"the model twice":           {`{"model":"a","model":"b"}`, "model", "more than once"},
		"the model twice, escaped":  {`{"model":"a","mod\u0065l":"b"}`, "model", "more than once"},
		"a name twice in a message": {`{"messages":[{"role":"user","role":"system"}]}`, "messages[0].role", "more than once"},
		"a name twice in a part":    {`{"messages":[{"content":[{"type":"file","file":{"file_id":"a","file_id":"b"}}]}]}`, "messages[0].content[0].file.file_id", "more than once"},
		"names that many parsers take for one, with halves of surrogate pairs": {`{"\ud800":1,"\ud801":2}`, "\ufffd", "more than once"},
		"a name twice elsewhere":       {`{"tools":[{"a":{"b":1,"b":2}}]}`, "tools[0].a.b", "more than once"},
		"deeper than any parser takes": {deep(10_000), "", "depth"},
		"a bare number with a zero":    {`{"a":01}`, "", "not JSON"},
		"NaN":                          {`{"a":NaN}`, "a", "not JSON"},
		"a comment":                    {`{"a":1 /* x */}`, "", "not JSON"},
		"a byte order mark":            {"\ufeff{}", "", "not"},
		"too many names":               {`{"x":[` + strings.Repeat(`{"a":1},`, maxNames) + `{"a":1}]}`, "", "names"},
		"too many messages":            {`{"messages":[` + strings.Repeat(`{},`, maxElements) + `{}]}`, "", "messages and parts"},
		"too many parts":               {`{"messages":[{"content":[` + strings.Repeat(`"x",`, maxElements-1) + `7]}]}`, "", "messages and parts"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Scan([]byte(test.body), &ChatCompletions)
			e, ok := errors.AsType[*Error](err)
			if !ok || !strings.Contains(e.Reason, test.reason) || test.param != "" && e.Param != test.param {
				t.Errorf("got %#v", err)
			}
		})
	}
	scan(t, deep(5000))
	if o := newOutline([]byte(`{"x":[`+strings.Repeat(`{"a":1},`, maxNames-1)+`"a",{}]}`), longString); o.names != maxNames {
		t.Errorf("%d names", o.names)
	}
	scan(t, `{"messages":[{"content":[`+strings.Repeat(`"x",`, maxElements-2)+`7]}]}`)
}

func TestEdits(t *testing.T) {
	t.Parallel()
	const image = `{"type":"image_url","image_url":{"url":"ms://1"}}`
	for name, test := range map[string]struct{ part, with, want string }{
		"another type":                  {`{ "type":"file","file":{"file_id":"x"},"cache_control":{}}`, image, image},
		"the same type":                 {`{"type":"image_url","image_url":{"url":"x"}}`, image, image},
		"what says nothing of the file": {`{"cache_control":{"a":1.0},"type":"image_url","image_url":{"url":"x","detail":"high"},"y":[1, 2]}`, image, `{"cache_control":{"a":1.0},"type":"image_url","image_url":{"url":"ms://1","detail":"high"},"y":[1, 2]}`},
		"a bare URL":                    {`{"image_url":"x","type":"image_url","detail":"low"}`, image, `{"image_url":{"url":"ms://1"},"type":"image_url","detail":"low"}`},
		"the data of a file":            {`{"type":"file","file":{"file_data":"x","filename":"a.pdf","z":0}}`, `{"type":"file","file":{"file_id":"1"}}`, `{"type":"file","file":{"file_id":"1","z":0}}`},
		"a flat part":                   {`{"type":"file","file":{"file_id":"x"},"a":1}`, `{"type":"file","file_id":"1"}`, `{"type":"file","file_id":"1","a":1}`},
		"a member of the same name":     {`{"type":"file","file":{"file_id":"x"},"file_id":"old"}`, `{"type":"file","file_id":"1"}`, `{"type":"file","file_id":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := `{"messages":[{"role":"user","content":[ `, ` ,{"type":"text"}]}]}`
			b := scan(t, before+test.part+after)
			if len(b.Parts) != 1 {
				t.Fatalf("%d parts", len(b.Parts))
			}
			e := b.Edit()
			if err := e.Replace(b.Parts[0], []byte(test.with)); err != nil {
				t.Fatal(err)
			}
			if got := text(e); got != before+test.want+after {
				t.Errorf("got  %s\nwant %s", got, before+test.want+after)
			}
		})
	}
}

func TestSetModel(t *testing.T) {
	t.Parallel()
	b := scan(t, `{"a":1, "model" : "kimi\/x" ,"b":2}`)
	e := b.Edit()
	e.SetModel("kimi/x")
	if got := text(e); got != `{"a":1, "model" : "kimi\/x" ,"b":2}` {
		t.Errorf("the same name: %s", got)
	}
	e.SetModel(`x"`)
	if got := text(e); got != `{"a":1, "model" : "x\"" ,"b":2}` {
		t.Errorf("got %s", got)
	}
}

// A message never comes between tool calls and their results.
func TestInsertMessage(t *testing.T) {
	t.Parallel()
	const part = `{"type":"file","file":{"file_id":"x"}}`
	for name, test := range map[string]struct{ messages, want string }{
		"before a user's":       {`{"role":"system"}, {"role":"user","content":[PART]}`, `{"role":"system"}, NEW,{"role":"user","content":[TEXT]}`},
		"before the first":      {`{"content":[PART],"role":"user"}`, `NEW,{"content":[TEXT],"role":"user"}`},
		"before the tool calls": {`{"role":"user"},{"role":"assistant","tool_calls":[{}]},{"role":"tool"},{"role":"tool","content":[PART]}`, `{"role":"user"},NEW,{"role":"assistant","tool_calls":[{}]},{"role":"tool"},{"role":"tool","content":[TEXT]}`},
		"after the results":     {`{"role":"assistant","tool_calls":[{}]},{"role":"tool"},{"role":"user","content":[PART]}`, `{"role":"assistant","tool_calls":[{}]},{"role":"tool"},NEW,{"role":"user","content":[TEXT]}`},
		"results without calls": {`{"role":"user"},{"role":"tool","content":[PART]}`, `{"role":"user"},NEW,{"role":"tool","content":[TEXT]}`},
	} {
		t.Run(name, func(t *testing.T) {
			wrap := func(messages string) string { return `{"messages":[` + messages + `]}` }
			b := scan(t, wrap(strings.ReplaceAll(test.messages, "PART", part)))
			e := b.Edit()
			e.ReplaceText(b.Parts[0], "a.pdf")
			e.InsertMessage(b.Parts[0], []byte(`"NEW"`))
			want := strings.NewReplacer("NEW", `"NEW"`, "TEXT", `{"type":"text","text":"a.pdf"}`).Replace(wrap(test.want))
			if got := text(e); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// anyJSON draws JSON that clients may send: big numbers, lone surrogates, escapes, empty
// strings, unknown members, white space.
func anyJSON(depth int) *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
	scalar := rapid.SampledFrom([]string{
		"null", "true", "0", "-0", "0.10", "1e400", "12345678901234567890", `""`, `"<&>"`, `"\ud83d"`, `"\u0000"`, `"\/"`, "\"\u2028\"", `"messages"`, `"file"`,
		`"sha256:aa"`, "\"\xff\"",
	})
	if depth == 0 {
		return scalar
	}
	return rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return scalar.Draw(t, "scalar")
		case 1:
			items := rapid.SliceOfN(anyJSON(depth-1), 0, 3).Draw(t, "items")
			return "[" + space.Draw(t, "space") + strings.Join(items, ","+space.Draw(t, "space")) + "]"
		}
		return anyObject(depth-1).Draw(t, "object")
	})
}

// anyObject draws an object with names that the formats know, among others.
func anyObject(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"model", "messages", "content", "role", "type", "index", "", "a/b", "tool_calls", "text", "image_url", "url", "file",
		}), 0, 4, rapid.ID).Draw(t, "names")
		var members []string
		for _, name := range names {
			quoted, _ := json.Marshal(name)
			members = append(members, string(quoted)+":"+anyJSON(depth).Draw(t, "value"))
		}
		return "{" + strings.Join(members, rapid.SampledFrom([]string{",", " , ", ",\n"}).Draw(t, "comma")) + "}"
	})
}

// A body stays bit for bit the same if nothing in it is replaced.
func TestBodiesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := anyObject(5).Draw(t, "body")
		e := scan(t, body).Edit()
		if got := text(e); got != body {
			t.Fatalf("got  %s\nwant %s", got, body)
		}
	})
}

// Everything outside the replaced parts stays bit for bit the same.
func TestOnlyPartsChange(t *testing.T) {
	t.Parallel()
	const with = `{"type":"video_url","video_url":{"url":"ms://1"}}`
	parts := []string{
		`{"type":"file","file":{"file_id":"file-1"}}`, `{"file":{"filename":"","file_data":"QQ=="},"type":"file","x":{"file":{}}}`,
		`{"type":"image_url","image_url":"data:,x"}`, "{ \"image_url\" :\n{ \"detail\":\"low\",\"url\":\"sha256:0\" },\"type\":\"image_url\"}",
	}
	rapid.Check(t, func(t *rapid.T) {
		var body, want strings.Builder
		add := func(text string) { body.WriteString(text); want.WriteString(text) }
		add(`{"a":` + anyJSON(2).Draw(t, "a") + `,"messages":[`)
		count := 0
		for i := range rapid.IntRange(0, 4).Draw(t, "messages") {
			if i > 0 {
				add(",")
			}
			add(`{"x":` + anyJSON(2).Draw(t, "x") + `,"content":[`)
			for j := range rapid.IntRange(0, 4).Draw(t, "parts") {
				if j > 0 {
					add(" ,")
				}
				if rapid.Bool().Draw(t, "other") {
					add(rapid.OneOf(rapid.Just(`{"type":"text","text":"file"}`), anyJSON(2).Filter(func(s string) bool { return !strings.Contains(s, `"type"`) })).Draw(t, "element"))
					continue
				}
				count++
				body.WriteString(rapid.SampledFrom(parts).Draw(t, "part"))
				want.WriteString(with)
			}
			add(`],"role":` + anyJSON(1).Draw(t, "role") + `}`)
		}
		add(`],"z":` + anyJSON(2).Draw(t, "z") + "}")
		b := scan(t, body.String())
		if len(b.Parts) != count {
			t.Fatalf("%d parts of %d in %s", len(b.Parts), count, body.String())
		}
		e := b.Edit()
		for _, p := range b.Parts {
			if err := e.Replace(p, []byte(with)); err != nil {
				t.Fatal(err)
			}
		}
		if got := text(e); got != want.String() {
			t.Fatalf("body %s\ngot  %s\nwant %s", body.String(), got, want.String())
		}
	})
}

// A body that is taken is JSON to other parsers, too, and stays so when its parts are
// replaced.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"model":"a","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"x"}},{"type":"image_url","image_url":"y"}]}]}`))
	f.Add([]byte(`{"a":"\ud83d","b":1e400,"c":{"d":[{}]}}`))
	f.Add([]byte(`{"messages":[{"content":[{"type":"video_url","video_url":{"url":"data:,","x":{}}}]},{"role":"tool","content":[{"type":"file"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		kept := bytes.Clone(body)
		b, err := Scan(body, &ChatCompletions)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatal("taken, and not JSON to encoding/json")
		}
		e := b.Edit()
		if got := text(e); got != string(kept) {
			t.Fatalf("changed without a change: %q", got)
		}
		if b.HasModel {
			e.SetModel("another")
		}
		for _, p := range b.Parts {
			for _, meaning := range []Meaning{FileID, FileData, FileName, URL} {
				p.Value(meaning)
			}
			if err := e.Replace(p, []byte(`{"type":"image_url","image_url":{"url":"ms://1"}}`)); err != nil {
				t.Fatal(err)
			}
			e.InsertMessage(p, []byte(`{"role":"system"}`))
		}
		if got := text(e); !json.Valid([]byte(got)) {
			t.Fatalf("no JSON any more: %q", got)
		}
		if !bytes.Equal(body, kept) {
			t.Fatal("the body itself has changed")
		}
	})
}
