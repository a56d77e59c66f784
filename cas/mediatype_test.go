package cas

import (
	"archive/zip"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestNormalMediaType(t *testing.T) {
	t.Parallel()
	for declared, want := range map[string]string{
		"": "", "application/octet-stream": "", "binary/octet-stream": "", "application/x-www-form-urlencoded": "",
		"Text/HTML": "text/html", "text/plain; Charset=UTF-8": "text/plain; charset=UTF-8", "image/png": "image/png",
		"image/*": "", "*/*": "", "*": "", "text/*; q=0.8": "",
		"nonsense": "", "text/plain; =": "", "text/": "", "/": "", "a b/c": "", "text/plain\x00": "", "a/b; c=\"\x00\"": "",
		strings.Repeat("a", 300): "", "a/" + strings.Repeat("b", 254): "",
	} {
		if got := NormalMediaType(declared); got != want {
			t.Errorf("%.50q: %q, want %q", declared, got, want)
		}
	}
}

func TestRefineMediaType(t *testing.T) {
	t.Parallel()
	const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	for _, tt := range []struct{ known, declared, want string }{
		{"text/plain; charset=utf-8", "text/markdown", "text/markdown"},
		{"text/plain; charset=utf-8", "application/x-thing", "application/x-thing"},
		{"text/plain; charset=utf-8", "application/x-ndjson", "application/x-ndjson"},
		{"text/plain; charset=utf-8", "image/png", "text/plain; charset=utf-8"},
		{"text/plain; charset=utf-8", "image/svg+xml", "image/svg+xml"},
		{"text/plain; charset=utf-8", "application/pdf", "text/plain; charset=utf-8"},
		{"text/csv; charset=utf-8", "application/vnd.ms-excel", "text/csv; charset=utf-8"},
		{"text/html; charset=utf-8", "text/plain", "text/plain"},
		{"application/json", "text/plain", "text/plain"},
		{"application/pdf", "text/html", "application/pdf"},
		{"application/pdf", "image/*", "application/pdf"},
		{"application/pdf", "application/x-thing", "application/pdf"},
		{"image/png", "image/jpeg", "image/png"},
		{"text/rtf", "text/plain", "text/rtf"},
		{"application/zip", docx, docx},
		{"application/zip", "application/x-thing", "application/x-thing"},
		{"application/zip", "application/pdf", "application/zip"},
		{docx, "application/zip", docx},
		{"video/webm", "audio/webm", "audio/webm"},
		{"video/mp4", `video/mp4; codecs="avc1"`, "video/mp4; codecs=avc1"},
		{DefaultMediaType, "application/x-thing", "application/x-thing"},
		{"image/*", "image/png", "image/png"},
		{"", "image/png", "image/png"},
		{DefaultMediaType, "", DefaultMediaType},
		// The usual spelling.
		{"application/pdf", "application/x-pdf", "application/pdf"},
		{"application/pdf", "application/PDF; charset=binary", "application/pdf"},
		{"application/pdf", "application/acrobat", "application/pdf"},
		{"image/jpeg", "image/jpg", "image/jpeg"},
		{"image/png", "image/x-png", "image/png"},
		{"application/zip", "application/x-zip-compressed", "application/zip"},
		{"audio/wav", "audio/x-wav", "audio/wav"},
		{"text/plain; charset=utf-8", "text/x-markdown; charset=utf-8", "text/markdown; charset=utf-8"},
		{"text/plain; charset=utf-8", "text/pdf", "text/plain; charset=utf-8"},
		{DefaultMediaType, "application/x-pdf", "application/pdf"},
	} {
		if got := RefineMediaType(tt.known, tt.declared); got != tt.want {
			t.Errorf("%s declared as %s is %s, want %s", tt.known, tt.declared, got, tt.want)
		}
	}
}

// dex and manifest are ZIP archives whose first entry has a name of other formats.
var dex, manifest = archive("classes.dex"), archive("META-INF/MANIFEST.MF")

func archive(entry string) string {
	var out strings.Builder
	w := zip.NewWriter(&out)
	if _, err := w.Create(entry); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.String()
}

const page = "<!DOCTYPE html><html><body>hello</body></html>\n"

func TestMediaTypeOfBytes(t *testing.T) {
	t.Parallel()
	ascii := strings.Repeat("only ASCII in the first bytes\n", 200)
	for _, tt := range []struct{ body, declared, name, want string }{
		{"hello", "", "", "text/plain; charset=utf-8"},
		{"\xd6\xd0\xce\xc4\xce\xc4\xbc\xfe", "", "", "text/plain"}, // GBK
		{ascii + "\xd6\xd0\xce\xc4", "", "", "text/plain"},         // GBK
		{ascii + "中文", "", "", "text/plain; charset=utf-8"},
		{strings.Repeat("中文文件", 1000), "", "", "text/plain; charset=utf-8"},
		{"\xd6\xd0\xce\xc4", "text/plain; charset=utf-8", "", "text/plain"},
		{"\xd6\xd0\xce\xc4", "text/plain; charset=gbk", "", "text/plain; charset=gbk"},
		{"\xff\xfea\x00b\x00", "", "", "text/plain; charset=utf-16le"},
		{page, "", "", "text/html; charset=utf-8"},
		{page, "", "README.md", "text/markdown; charset=utf-8"},
		{page, "", "main.PHP", "text/plain; charset=utf-8"},
		{page, "", "Report v1.2", "text/html; charset=utf-8"},
		{page, "text/plain", "", "text/plain"},
		{`{"a":1}`, "", "", "application/json"},
		{`{"a":1}`, "", "a.jsonl", "application/jsonl"},
		{"%PDF-1.7\n\x00", "", "report.txt", "application/pdf"},
		{"\x00\x01\x02\xff", "", "a.txt", DefaultMediaType},
		{dex, "", "", "application/vnd.android.package-archive"},
		{dex, "application/zip", "", "application/zip"},
		{dex, "application/x-zip-compressed", "", "application/zip"},
		{dex, "application/java-archive", "", "application/vnd.android.package-archive"},
		{manifest, "", "", "application/java-archive"},
		{manifest, "application/zip", "", "application/zip"},
		{"PK\x03\x04" + strings.Repeat("\x00", 100), "application/zip", "", "application/zip"},
		{"\x00\x01\x02\xff", "application/x-thing", "", "application/x-thing"},
		{"", "", "a.md", "text/markdown; charset=utf-8"},
	} {
		if got := sniff([]byte(tt.body)).mediaType(tt.declared, tt.name); got != tt.want {
			t.Errorf("%.20q declared as %q, named %q: %s, want %s", tt.body, tt.declared, tt.name, got, tt.want)
		}
	}
}

func TestCorrectMediaType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ body, current, declared, name, want string }{
		{"hello", "text/plain; charset=utf-8", "", "", "text/plain; charset=utf-8"},
		{"hello", "text/plain; charset=utf-8", "text/markdown", "", "text/markdown"},
		{"hello", "text/plain; charset=utf-8", "", "a.md", "text/markdown; charset=utf-8"},
		{"hello", "text/markdown", "text/csv", "", "text/markdown"},
		{"hello", "text/markdown", "", "", "text/markdown"},
		{"hello", "image/png", "", "", "text/plain; charset=utf-8"},
		{"hello", "image/*", "", "", "text/plain; charset=utf-8"},
		{"hello", "nonsense", "", "", "text/plain; charset=utf-8"},
		{"hello", DefaultMediaType, "", "", "text/plain; charset=utf-8"},
		{"\xd6\xd0\xce\xc4", "text/plain; charset=iso-8859-1", "", "", "text/plain"},
		{"\xd6\xd0\xce\xc4", "text/plain; charset=gbk", "", "", "text/plain; charset=gbk"},
		{page, "text/html; charset=utf-8", "", "README.md", "text/markdown; charset=utf-8"},
		{page, "text/html; charset=utf-8", "", "", "text/html; charset=utf-8"},
		{page, "text/plain; charset=utf-8", "", "", "text/plain; charset=utf-8"},
		{"%PDF-1.7\n\x00", "text/html", "", "", "application/pdf"},
		{"%PDF-1.7\n\x00", "application/pdf", "text/html", "a.html", "application/pdf"},
		{"\x00\x01\x02\xff", "application/x-thing", "image/png", "", "application/x-thing"},
		{"\x00\x01\x02\xff", DefaultMediaType, "application/x-thing", "", "application/x-thing"},
		{"PK\x03\x04\x00\x00", "application/zip", "application/x-thing", "", "application/x-thing"},
		{"%PDF-1.7\n\x00", "application/x-pdf", "", "", "application/pdf"},
		{"%PDF-1.7\n\x00", "application/pdf", "application/x-pdf", "", "application/pdf"},
		{"%PDF-1.7\n\x00", "application/pdf; charset=binary", "application/x-pdf", "", "application/pdf"},
	} {
		seen := sniff([]byte(tt.body))
		if got := seen.correct(tt.current, seen.mediaType(tt.declared, tt.name)); got != tt.want {
			t.Errorf("%.20q known as %s, uploaded as %q, named %q: %s, want %s", tt.body, tt.current, tt.declared, tt.name, got, tt.want)
		}
	}
}

// A sniffer that gets a body in pieces knows as much as one look at the whole body.
func TestSnifferInPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "中", "\xe4", "\xb8", "\xad", "😀", "\xf0\x9f", "\x98\x80", "", strings.Repeat("b", 2000)}), 0, 12).Draw(t, "pieces")
		var s sniffer
		for _, piece := range pieces {
			if n, err := s.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("Write returned %d, %v", n, err)
			}
		}
		body := strings.Join(pieces, "")
		got, want := s.sniffed(), sniff([]byte(body))
		if got.format.String() != want.format.String() || got.utf8 != want.utf8 || got.utf8 != utf8.ValidString(body) {
			t.Errorf("%q in pieces: UTF-8 %v, %s, not %s", pieces, got.utf8, got.format, want.format)
		}
	})
}
