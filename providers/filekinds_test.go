package providers_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gabriel-vasile/mimetype"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/anthropic"
	"casgate/providers/gemini"
	"casgate/providers/glm"
	"casgate/providers/kimi"
	"casgate/providers/openaicompat"
)

var update = flag.Bool("update", false, "write the tables of files into docs/providers.md")

const (
	page  = "../docs/providers.md"
	begin = "<!-- Made by go test ./providers -run TestTableOfFiles -update -->\n"
	end   = "<!-- End of the made tables -->\n"
)

// file is a kind of file: what its owner says of it, and its first bytes.
type file struct{ name, declared, bytes string }

func kindsOfFiles() []file {
	const (
		pdf, png, jpeg, gif = "%PDF-1.7\n", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "\xff\xd8\xff\xe0\x00\x10JFIF\x00", "GIF89a"
		webp, mp4, mov      = "RIFF\x00\x00\x00\x00WEBPVP8 ", "\x00\x00\x00\x18ftypmp42", "\x00\x00\x00\x14ftypqt  "
		mkv                 = "\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska"
		mp3, wav            = "ID3\x03\x00\x00\x00\x00\x00\x00", "RIFF\x00\x00\x00\x00WAVEfmt "
		text, html          = "Some plain text.\n", "<!DOCTYPE html><html></html>"
		binary              = "\x00\x01\x02\xff\xfe\xfd"
	)
	return []file{
		{"report.pdf", "", pdf}, {"2401.01234v2", "", pdf}, {"Report v1.2", "", pdf}, {"年报2025.12", "", pdf}, {"report.pdf.crdownload", "", pdf},
		{"", "application/x-pdf", pdf}, {"letter.docx", "", office("word/document.xml")}, {"table.xlsx", "", office("xl/workbook.xml")},
		{"slides.pptx", "", office("ppt/presentation.xml")}, {"letter", "", office("word/document.xml")},
		{"photo.jpg", "", jpeg}, {"photo.jfif", "", jpeg}, {"", "image/jpg", jpeg}, {"", "image/*", png}, {"picture.png", "", png},
		{"picture.webp", "", webp}, {"picture.gif", "", gif}, {"drawing.svg", "image/svg+xml", "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>"},
		{"film.mp4", "", mp4}, {"film.mov", "", mov}, {"film.mkv", "", mkv}, {"speech.mp3", "", mp3}, {"speech.wav", "", wav},
		{"notes.txt", "", text}, {"README.md", "", html}, {"", "text/x-markdown", text}, {"page.html", "", html}, {"data.csv", "", "a,b\n1,2\n"},
		{"data.json", "", `{"a":1}`}, {"batch.jsonl", "", "{\"a\":1}\n{\"a\":2}\n"}, {"main.go", "", text}, {"main.rs", "", text}, {"build.sh", "", "#!/bin/sh\n"},
		{"config.toml", "", text}, {"feed.xml", "", "<?xml version=\"1.0\"?><a/>"}, {"analysis.ipynb", "", `{"cells":[]}`}, {".gitignore", "", text},
		{"archive.zip", "", zipOf("a.txt")}, {"program.exe", "", "MZ" + binary}, {"data.parquet", "", binary},
		{"report.jpg", "", pdf}, {"report.docx", "", pdf}, {"report.txt", "", pdf}, {"v1.2.md", "", pdf}, {"résumé.tar", "", pdf},
		{"photo.pdf", "", jpeg}, {"IMG_1.HEIC", "", jpeg}, {"", "text/x-python", text}, {"", "text/x-rst", text}, {"", "application/x-sh", text},
	}
}

// office returns the first bytes of a document of Office with this part.
func office(part string) string { return zipOf("[Content_Types].xml", "_rels/.rels", part) }

func zipOf(names ...string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: name}); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// TestTableOfFiles: docs/providers.md says what becomes of each kind of file at each
// provider, as the code decides it.
func TestTableOfFiles(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, p := range allProviders(t) {
		writeTable(t, &b, p)
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	old, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the tables", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != b.String() {
		oldLines, newLines := strings.Split(old, "\n"), strings.Split(b.String(), "\n")
		for i, line := range newLines {
			if i >= len(oldLines) || oldLines[i] != line {
				t.Fatalf("line %d of the tables differs; run the command in the comment before them\nwant %s", i+1, line)
			}
		}
		t.Fatal("the tables have more lines than they should")
	}
}

// A name with the extension of another format changes nothing for bytes that have a
// format of their own: every provider gets the right extension, under the same purpose,
// with the same references.
func TestWrongExtensionChangesNothing(t *testing.T) {
	t.Parallel()
	const pdf, jpeg = "application/pdf", "image/jpeg"
	docx := mimetype.Detect([]byte(office("word/document.xml"))).String()
	for _, p := range allProviders(t) {
		for _, c := range []struct{ name, bytes, right string }{
			{"report.jpg", pdf, "a.pdf"}, {"x.docx", pdf, "a.pdf"}, {"report.txt", pdf, "a.pdf"}, {"v1.2.md", pdf, "a.pdf"}, {"résumé.tar", pdf, "a.pdf"},
			{"evil.html", pdf, "a.pdf"}, {"data.jsonl", pdf, "a.pdf"}, {"a.exe", pdf, "a.pdf"},
			{"photo.pdf", jpeg, "a.jpg"}, {"IMG_1.HEIC", jpeg, "a.jpg"}, {"film.mp4", jpeg, "a.jpg"}, {"notes.txt", jpeg, "a.jpg"},
			{"photo.jpg", "image/png", "a.png"}, {"letter.pdf", docx, "a.docx"}, {"film.pdf", "video/mp4", "a.mp4"},
		} {
			got, want := placeOf(t, p, providers.TypeOf(c.name, "", c.bytes)), placeOf(t, p, providers.TypeOf(c.right, "", c.bytes))
			if got != want {
				t.Errorf("%s with bytes of %s: %s; want %s", c.name, c.bytes, got, want)
			}
		}
	}
}

// placeOf tells the purpose, the extension and the references of a file.
func placeOf(t *testing.T, p providers.Provider, fileType providers.FileType) string {
	t.Helper()
	d := p.Describe()
	placed, err := d.Place(fileType, "")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s %s, taken: %t, %s", d.Provider, placed.Purpose.Name, placed.Extension, d.Check(placed.Purpose, placed.Extension, 1) == nil, references(t, p, fileType))
}

// Text without a name gets an extension at every provider that takes any, also where its
// declared type has no usual one.
func TestUnnamedTextGetsAnExtension(t *testing.T) {
	t.Parallel()
	for _, p := range allProviders(t) {
		for _, declared := range []string{"text/x-python", "text/x-rst", "application/x-sh", "text/plain", "text/x-c++"} {
			placed, err := p.Describe().Place(providers.TypeOf("", declared, "text/plain; charset=utf-8"), "")
			if err != nil || placed.Extension != ".txt" {
				t.Errorf("%s, %s: the extension is %q, %v", p.Describe().Provider, declared, placed.Extension, err)
			}
		}
	}
}

func allProviders(t *testing.T) []providers.Provider {
	t.Helper()
	openers := []func(providers.Settings) (providers.Provider, error){kimi.Open, glm.Open}
	for _, preset := range openaicompat.Presets() {
		openers = append(openers, preset.Open)
	}
	var all []providers.Provider
	for _, open := range append(openers, anthropic.Open, gemini.Open) {
		p, err := open(providers.Settings{APIKey: "id.secret"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func writeTable(t *testing.T, b *strings.Builder, p providers.Provider) {
	t.Helper()
	d := p.Describe()
	fmt.Fprintf(b, "\n### Files at %s\n\n| file | purpose | remote name | reference |\n|---|---|---|---|\n", d.Provider)
	for _, f := range kindsOfFiles() {
		detected := mimetype.Detect([]byte(f.bytes)).String()
		fileType := providers.TypeOf(f.name, f.declared, detected)
		placed, err := d.Place(fileType, "")
		if err != nil {
			t.Fatal(err)
		}
		purpose, remote := "none", "none"
		if d.Check(placed.Purpose, placed.Extension, int64(len(f.bytes))) == nil {
			purpose = "`" + placed.Purpose.Name + "`"
			digest := cas.DigestOf([]byte(f.bytes))
			remote = providers.RemoteName("cas0123456789", f.name, digest, placed.Extension, 1)
			end := len(remote) - len(placed.Extension)
			remote = remote[:end-8] + "CHECK" + placed.Extension
			remote = "`" + strings.NewReplacer("cas0123456789", "MARK", providers.RemoteNameDigest(digest), "DIGEST").Replace(remote) + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", label(f, detected), purpose, remote, references(t, p, fileType))
	}
}

// label describes a file.
func label(f file, detected string) string {
	name := "unnamed"
	if f.name != "" {
		name = "`" + f.name + "`"
	}
	if f.declared != "" {
		name += ", declared `" + f.declared + "`"
	}
	detected, _, _ = strings.Cut(detected, ";")
	return name + ", bytes of " + shortType(detected)
}

// shortType shortens the media types of Office.
func shortType(mediaType string) string {
	return cmp.Or(map[string]string{
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   "docx",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         "xlsx",
		"application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
	}[mediaType], mediaType)
}

// references returns the usual reference with its JSON, and the names of the others.
func references(t *testing.T, p providers.Provider, fileType providers.FileType) string {
	t.Helper()
	kinds := p.References(fileType.MediaType, fileType.Extension)
	if len(kinds) == 0 {
		return "none"
	}
	m := providers.Material{FileID: "ID", URL: "URL", Text: "TEXT", Name: "file" + fileType.Extension, MediaType: fileType.MediaType}
	value, err := p.Reference(kinds[0], m)
	if err != nil {
		t.Fatal(err)
	}
	cell := fmt.Sprintf("%s: `%s`", kinds[0].Name, value)
	for i, kind := range kinds[1:] {
		if i == 0 {
			cell += "; also"
		} else {
			cell += ","
		}
		cell += " " + kind.Name
		if kind.Name == kinds[0].Name {
			cell += " (" + kind.Purpose + ")"
		}
	}
	return cell
}
