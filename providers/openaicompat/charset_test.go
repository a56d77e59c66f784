package openaicompat

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/encoding/htmlindex"
)

// Chinese prose, long enough that no buffer holds all of it.
var prose = strings.Repeat("年度报告显示，公司全年收入同比增长百分之十二，其中海外市场贡献最大。\n", 200)

func encodeText(t *testing.T, charset, text string) string {
	t.Helper()
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := encoding.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// readers returns the ways in which a text can arrive.
func readers(text string) map[string]io.Reader {
	return map[string]io.Reader{
		"whole": strings.NewReader(text), "bytewise": iotest.OneByteReader(strings.NewReader(text)),
		"end with data": iotest.DataErrReader(iotest.HalfReader(strings.NewReader(text))),
	}
}

func TestTextOfADeclaredCharset(t *testing.T) {
	t.Parallel()
	for _, charset := range []string{"gbk", "gb2312", "GB18030", "utf-16le", "utf-16be", "utf-8", "UTF8"} {
		for _, want := range []string{"", "x", "联通", prose} {
			for name, body := range readers(encodeText(t, charset, want)) {
				got, err := io.ReadAll(textReader("text/plain; charset="+charset, body))
				if err != nil || string(got) != want {
					t.Errorf("%s, %s: %d bytes became %d: %.60q, %v", charset, name, len(want), len(got), got, err)
				}
			}
		}
	}
	const traditional = "臺灣的年度報告"
	got, err := io.ReadAll(textReader("text/plain; charset=Big5", strings.NewReader(encodeText(t, "big5", traditional))))
	if err != nil || string(got) != traditional {
		t.Errorf("Big5: %q, %v", got, err)
	}
	// A byte order mark counts more than the declaration.
	got, err = io.ReadAll(textReader("text/plain; charset=gbk", strings.NewReader("\uFEFF年")))
	if err != nil || string(got) != "年" {
		t.Errorf("a byte order mark: %q, %v", got, err)
	}
}

func TestTextOfAnUndeclaredCharset(t *testing.T) {
	t.Parallel()
	ascii := strings.Repeat("plain words, and no more. ", 1000)
	for name, test := range map[string]struct{ text, want string }{
		"empty":                    {"", ""},
		"ASCII":                    {ascii, ascii},
		"UTF-8":                    {prose, prose},
		"UTF-8 late":               {ascii + prose, ascii + prose},
		"UTF-8 with marks":         {"\uFEFF" + prose, prose},
		"UTF-16 with marks":        {"\xff\xfe" + encodeText(t, "utf-16le", prose), prose},
		"GBK":                      {encodeText(t, "gbk", prose), prose},
		"GBK late":                 {ascii + encodeText(t, "gbk", prose) + ascii, ascii + prose + ascii},
		"GB18030, with four bytes": {encodeText(t, "gb18030", prose+"\U0001F600\uFFFD"), prose + "\U0001F600\uFFFD"},
		"short GBK":                {encodeText(t, "gbk", "你好"), "你好"},
		"a character cut off":      {prose + "\xe5\xb9", prose + "\uFFFD"},
		"one broken character":     {prose + "\xff" + prose, prose + "\uFFFD" + prose},
		"replaced characters":      {"a\uFFFDb\uFFFD", "a\uFFFDb\uFFFD"},
	} {
		for _, contentType := range []string{"", "text/plain", "text/plain; charset=utf-8", "text/plain; charset=nonsense", "; ;"} {
			for way, body := range readers(test.text) {
				got, err := io.ReadAll(textReader(contentType, body))
				if err != nil || string(got) != test.want {
					t.Errorf("%s, %s, as %q: %d bytes, %v; want %d bytes", name, way, contentType, len(got), err, len(test.want))
				}
			}
		}
	}
}

// An encoding that can't be told must not become a text with wrong characters.
func TestTextOfAnUnknownCharset(t *testing.T) {
	t.Parallel()
	ascii := strings.Repeat("plain words, and no more. ", 1000)
	for name, text := range map[string]string{
		"Latin-1":            "un caf\xe9 tr\xe8s fort",
		"Latin-1, late":      ascii + "na\xefve f\xeates" + ascii,
		"broken bytes":       "\xfd\xff\xfe and \xff",
		"UTF-8, then GBK":    strings.Repeat("é", sampleSize) + encodeText(t, "gbk", prose),
		"GBK, then Latin-1":  encodeText(t, "gbk", prose) + "caf\xe9 \xff",
		"cut GBK":            encodeText(t, "gbk", prose) + "\xc4",
		"one lone high byte": "\x80 x",
	} {
		for way, body := range readers(text) {
			if got, err := io.ReadAll(textReader("text/plain", body)); !errors.Is(err, errCharset) {
				t.Errorf("%s, %s: %.60q, %v", name, way, got, err)
			}
		}
	}
}

func TestTextWithABrokenConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, text := range []string{"", "plain", "年", "\xe5\xb9", "\xc4", prose} {
		body := io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))
		if got, err := io.ReadAll(textReader("text/plain", body)); !errors.Is(err, broken) {
			t.Errorf("%.20q: %.20q, %v", text, got, err)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("plain", "gbk")
	f.Add(prose[:300], "gb18030")
	f.Fuzz(func(t *testing.T, text, charset string) {
		for _, contentType := range []string{"text/plain", "text/plain; charset=" + charset} {
			whole, err := io.ReadAll(textReader(contentType, strings.NewReader(text)))
			pieces, again := io.ReadAll(textReader(contentType, iotest.OneByteReader(strings.NewReader(text))))
			if (err == nil) != (again == nil) || err == nil && string(whole) != string(pieces) {
				t.Errorf("%q as %q: %q, %v; in pieces: %q, %v", text, contentType, whole, err, pieces, again)
			}
		}
	})
}
