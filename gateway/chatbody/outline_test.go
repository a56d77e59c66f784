package chatbody

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOutline(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, outline string }{
		"no strings":              {`{}`, `{}`},
		"a short string":          {`["abc"]`, `["abc"]`},
		"long strings":            {`["abcd", "efghi" ,7]`, `["", "" ,7]`},
		"a name":                  {"{\"names\" \t\r\n:\"value\"}", "{\"names\" \t\r\n:\"\"}"},
		"escapes":                 {`["ab\ncd","ab\"cd","abcd\\","efgh"]`, `["ab\ncd","ab\"cd","abcd\\",""]`},
		"a control character":     {"[\"ab\x1fcd\",\"ab\x7f\xff\u00e9\"]", "[\"ab\x1fcd\",\"\"]"},
		"a string without an end": {`["abcd","efghi]`, `["","efghi]`},
		"an escape at the end":    {`["abcd\"]`, `["abcd\"]`},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutline([]byte(test.body), 4)
			if got := string(o.text()); got != test.outline || o.size() != len(got) {
				t.Errorf("got %s of %d bytes, want %s", got, o.size(), test.outline)
			}
		})
	}
}

// TestIsPlain: each byte that a JSON string can't have as it stands is found at each place.
func TestIsPlain(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, 7, 8, 31, 32, 33, 41, 64, 65} {
		text := bytes.Repeat([]byte{'~'}, length)
		if !isPlain(text) {
			t.Fatalf("%d plain bytes are not plain", length)
		}
		for i := range text {
			for b := range 256 {
				text[i] = byte(b)
				if want := b >= ' ' && b != '\\'; isPlain(text) != want {
					t.Fatalf("%#x at %d of %d: want %t", b, i, length, want)
				}
			}
			text[i] = '~'
		}
	}
}

// TestOutlineChangesNothing: the scan finds the same with long strings left out as with all
// of a body, or has the same error.
func TestOutlineChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		element := rapid.OneOf(anyJSON(2), rapid.SampledFrom([]string{
			`{"type":"file","file":{"file_data":"aaaaaaaaaaaaaa","filename":"a\/b"}}`, `{"type":"image_url","image_url":"data:,bbbbbbbbbbb","long name":"x"}`,
			`{"type":"video_url","video_url":{"url":"\u0064ata:,cccccccc"}}`, `"dddd\"ddddd"`, `"eeee\\"`,
		}))
		body := []byte(`{"model":"kimi/k2 ` + strings.Repeat("m", rapid.IntRange(0, 9).Draw(t, "name")) + `","messages":[{"role":"a long role","content":[` +
			strings.Join(rapid.SliceOfN(element, 0, 4).Draw(t, "elements"), ", ") + `]}],"z":` + anyJSON(2).Draw(t, "z") + "}")
		if rapid.Bool().Draw(t, "broken") {
			at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
			body[at] = rapid.SampledFrom([]byte("\"\\{}[]:,x0 \x01")).Draw(t, "byte")
		}
		want := found(scanOutline(outline{raw: body}, &ChatCompletions))
		got := found(scanOutline(newOutline(body, rapid.IntRange(1, 8).Draw(t, "long")), &ChatCompletions))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("body %q\ngot  %v\nwant %v", body, got, want)
		}
	})
}

// TestLongStringInPlaceOfAName: the error is that of the body, and not that its outline has
// a name twice.
func TestLongStringInPlaceOfAName(t *testing.T) {
	t.Parallel()
	body := []byte(`{"model":"kimi/k2","messages":[{"":1,"` + strings.Repeat("long ", maxOutline*longString) + `"}]}`)
	_, err := Scan(body, &ChatCompletions)
	if e, ok := err.(*Error); !ok || !strings.Contains(e.Reason, fmt.Sprintf("at byte %d, invalid character '}'", len(body)-3)) {
		t.Errorf("error %v", err)
	}
	twice := bytes.Replace(body, []byte(`"}]}`), []byte(`","":2}]}`), 1)
	twice = bytes.Replace(twice, []byte(`"long `), []byte(`"a":"long `), 1)
	if _, err = Scan(twice, &ChatCompletions); err == nil || !strings.Contains(err.Error(), "more than once") {
		t.Errorf("error %v", err)
	}
}

// found returns all that a scan has found.
func found(b *Body, err error) []string {
	if err != nil {
		e, _ := err.(*Error)
		return []string{fmt.Sprintf("%+v", e)}
	}
	all := []string{fmt.Sprintf("%q %t %v %v", b.Model, b.HasModel, b.model, b.messages)}
	for _, p := range b.Parts {
		all = append(all, fmt.Sprintf("%s %s %v %d %v", p.Param, p.Type, p.span, p.message, p.members))
		for _, meaning := range []Meaning{FileID, FileData, FileName, URL} {
			v, ok := p.Value(meaning)
			all = append(all, fmt.Sprintf("%q %s %t", v.Text, v.Param, ok))
		}
	}
	return all
}

// BenchmarkScan reads a chat with a text of 10 KiB, and one with 14 MB of base64.
func BenchmarkScan(b *testing.B) {
	for _, size := range []int{10 << 10, 14 << 20} {
		body := []byte(`{"model":"kimi/kimi-k2.6","messages":[{"role":"system","content":"` + strings.Repeat("word ", 10<<10/5) +
			`"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("QUJD", (size-10<<10)/4) + `"}},{"type":"text","text":"What is it?"}]}]}`)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := Scan(body, &ChatCompletions); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
