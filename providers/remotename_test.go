package providers

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"casgate/cas"
)

const testMark = Mark("cas0123456789")

func TestRemoteName(t *testing.T) {
	t.Parallel()
	digest := cas.DigestOf([]byte("x"))
	id := string(testMark) + "-" + digest.Hex()[:16]
	for _, c := range []struct{ name, extension, want string }{
		{"report.pdf", ".pdf", "report-" + id + "-7.pdf"},
		{"../../etc/passwd", "", "passwd-" + id + "-7"},
		{`C:\Users\me\Report.PDF`, ".pdf", "Report-" + id + "-7.pdf"},
		{"a\r\nContent-Type: x.txt", ".txt", "aContent-Type_ x-" + id + "-7.txt"},
		{"报告 📄.pdf", ".pdf", "报告 📄-" + id + "-7.pdf"},
		{`say "hi".txt`, ".txt", "say 'hi'-" + id + "-7.txt"},
		{"", "", "file-" + id + "-7"},
		{"main.rs", ".txt", "main.rs-" + id + "-7.txt"},
		{"2401.01234v2", ".pdf", "2401.01234v2-" + id + "-7.pdf"},
		{".gitignore", ".txt", "gitignore-" + id + "-7.txt"},
		{".pdf", ".pdf", "file-" + id + "-7.pdf"},
		{"...", ".pdf", "file-" + id + "-7.pdf"},
		{strings.Repeat("n", 300) + ".txt", ".txt", strings.Repeat("n", 120) + "-" + id + "-7.txt"},
		{strings.Repeat("文", 100) + ".txt", ".txt", strings.Repeat("文", 40) + "-" + id + "-7.txt"},
		{"\u202eexe.txt", ".txt", "exe-" + id + "-7.txt"},
	} {
		got := RemoteName(testMark, c.name, digest, c.extension, 7)
		stem := strings.TrimSuffix(got, c.extension) // ends with the check
		if got = stem[:len(stem)-9] + c.extension; got != c.want {
			t.Errorf("RemoteName(%q): %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRemoteNameIsRecognised(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		digest := cas.DigestOf(rapid.SliceOf(rapid.Byte()).Draw(t, "blob"))
		extension := rapid.SampledFrom([]string{"", ".pdf", ".txt", ".py3", ".jsonl"}).Draw(t, "extension")
		fence := rapid.Int64Range(1, 1<<62).Draw(t, "fence")
		name := RemoteName(testMark, rapid.String().Draw(t, "name"), digest, extension, fence)
		if len(name) > 200 || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\"\r\n\x00") {
			t.Fatalf("%q is not a name to send", name)
		}
		// As it is, and as Kimi renames what it has already.
		base := strings.TrimSuffix(name, extension)
		kimi, renamed := Description{RenamesDuplicates: true}, fmt.Sprintf("%s (%d)%s", base, rapid.IntRange(1, 1000).Draw(t, "repeat"), extension)
		if n, ok := (Description{}).ParseRemoteName(renamed); ok {
			t.Fatalf("%q is taken for %+v at a provider that renames nothing", renamed, n)
		}
		for _, seen := range []string{name, renamed} {
			n, ok := kimi.ParseRemoteName(seen)
			if want := (ParsedRemoteName{testMark, RemoteNameDigest(digest), fence, extension}); !ok || n != want {
				t.Fatalf("%q reads as %+v, %t; want %+v", seen, n, ok, want)
			}
		}
	})
}

func TestForeignNamesAreNotOurs(t *testing.T) {
	t.Parallel()
	const mark = string(testMark)
	digest := cas.DigestOf([]byte("x"))
	hex := RemoteNameDigest(digest)
	ours := RemoteName(testMark, "a.pdf", digest, ".pdf", 1)
	stem := strings.TrimSuffix(ours, ".pdf")
	part := func(old, changed string) string { return strings.Replace(ours, old, changed, 1) }
	for _, name := range []string{
		"", "report.pdf", "report (1).pdf", mark, hex, "a-" + mark + "-" + hex, "a-" + mark + "-" + hex + "-1.pdf",
		// Variants of one of ours.
		"Copy of " + ours, "b" + ours[1:], stem + " copy.pdf", stem + "(1).pdf", stem + " (x).pdf", stem + "_summary.pdf", stem + ".docx", stem, ours + ".pdf", ours + ".bak",
		strings.ToUpper(ours), stem + ".PDF", "notes about " + stem + " and more.md", "翻译-" + stem + ".docx", " " + ours, ours + " ", stem + ". pdf",
		part(hex+"-1-", hex+"-2-"), part(hex+"-1-", hex+"-01-"), part(hex+"-1-", hex+"--1-"), part(hex+"-1-", hex+"-0-"), part(hex+"-1-", hex+"-99-"),
		part(hex, "0123456789abcdef"), part(hex, hex[:15]), part(hex, strings.ToUpper(hex)), part(mark, "casabcdefghij"), part(mark, mark+"0"), part(mark, mark[:12]), ours[2:],
		// Without a mark, or with something like one.
		"trace-4bf92f3577b34da6-1.json", "a-" + hex + "-1-01234567.pdf", "a-case-" + hex + "-1-01234567.pdf", "a-" + mark + "-" + hex + "-9999999999999999999-01234567.pdf",
	} {
		if n, ok := (Description{RenamesDuplicates: true}).ParseRemoteName(name); ok {
			t.Errorf("%q is taken for %+v", name, n)
		}
	}
	if _, ok := ParseRemoteName(ours); !ok {
		t.Errorf("%q is not taken for ours", ours)
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	first, second := NewMark(), NewMark()
	if first == second || first.Check() != nil || second.Check() != nil {
		t.Errorf("two marks are %q and %q", first, second)
	}
	for _, bad := range []Mark{"", "cas", "cas012345678", "cas01234567890", "Cas0123456789", "cas012345678\n", "xcas0123456789"} {
		if bad.Check() == nil {
			t.Errorf("%q counts as a mark", bad)
		}
	}
}

func FuzzParseRemoteName(f *testing.F) {
	f.Add(RemoteName(testMark, "report.pdf", cas.DigestOf([]byte("x")), ".pdf", 1))
	f.Add("report-cas0123456789-0123456789abcdef-1-01234567 (2).pdf")
	f.Fuzz(func(t *testing.T, name string) {
		n, ok := ParseRemoteName(name)
		if !ok {
			return
		}
		end := fmt.Sprintf("-%s-%s-%d-", n.Mark, n.DigestHex, n.Fence)
		if stem, whole := strings.CutSuffix(name, n.Extension); !whole || len(stem) < 9 || !strings.HasSuffix(stem[:len(stem)-8], end) {
			t.Errorf("%q reads as %+v", name, n)
		}
	})
}

func TestExtension(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, mediaType, want string }{
		{"a.pdf", "", ".pdf"},
		{"a.PDF", "text/plain", ".pdf"},
		{"a.tar.gz", "", ".gz"},
		{"a", "application/pdf", ".pdf"},
		{"a", "text/plain; charset=utf-8", ".txt"},
		{"a", "application/octet-stream", ""},
		{"a.", "image/png", ".png"},
		{"a.b c", "image/png", ".png"},
		{"a.文", "image/png", ".png"},
		{"folder.d/a", "", ""},
		{"", "", ""},
		{"a." + strings.Repeat("x", 50), "", ""},
		{"a.pdf\n", "", ".pdf"},
	} {
		if got := Extension(c.name, c.mediaType); got != c.want {
			t.Errorf("Extension(%q, %q): %q, want %q", c.name, c.mediaType, got, c.want)
		}
	}
}
