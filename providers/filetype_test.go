package providers

import "testing"

func TestTypeOf(t *testing.T) {
	t.Parallel()
	const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	for _, c := range []struct{ name, declared, detected, mediaType, extension string }{
		{"a.pdf", "", "application/pdf", "application/pdf", ".pdf"},
		{"2401.01234v2", "", "application/pdf", "application/pdf", ""},
		{"Report v1.2", "application/x-pdf", "application/pdf", "application/pdf", ""},
		{"年报2025.12", "", "application/pdf", "application/pdf", ""},
		{"report.pdf.crdownload", "", "application/pdf", "application/pdf", ".pdf"},
		{"photo.jfif", "", "image/jpeg", "image/jpeg", ".jpg"},
		{"page.HTM", "", "text/html; charset=utf-8", "text/html; charset=utf-8", ".html"},
		{"", "image/jpg", "", "image/jpeg", ""},
		{"", "image/*", "image/png", "image/png", ""},
		{"", "image/*", "image/*", UnknownType, ""},
		{"", "not a type", "", UnknownType, ""},
		{"", "application/x-pdf", "application/octet-stream", "application/pdf", ""},
		{"", "text/x-markdown", "text/plain; charset=utf-8", "text/markdown", ""},
		{"README.md", "", "text/html; charset=utf-8", "text/markdown", ".md"},
		{"x.png", "image/png", "application/pdf", "application/pdf", ".pdf"},
		{"v1.2.md", "", "application/pdf", "application/pdf", ".pdf"},
		{"report.PDF", "", "image/jpeg", "image/jpeg", ".jpg"},
		{"photo.jpeg", "", "image/jpeg", "image/jpeg", ".jpeg"},
		{"photo.heif", "", "image/heif", "image/heif", ".heif"},
		// The name decides between formats that are of one family, and where the bytes are
		// not certain.
		{"a.xlsx", "", docx, docx, ".xlsx"},
		{"a.zip", "", docx, docx, ".zip"},
		{"a.doc", "", docx, docx, ".doc"},
		{"a.pdf", "", "application/zip", "application/zip", ".pdf"},
		{"letter.doc", "", "text/rtf", "text/rtf", ".doc"},
		{"letter.doc", "", "application/x-ole-storage", "application/msword", ".doc"},
		{"letter.doc", "application/x-ole-storage", "application/x-ole-storage", "application/msword", ".doc"},
		{"archive", "application/zip", "application/zip", "application/zip", ""},
		{"film.mov", "", "video/mp4", "video/mp4", ".mov"},
		{"sound.m4a", "", "video/mp4", "audio/mp4", ".m4a"},
		{"page.html", "", "text/plain; charset=utf-8", "text/html", ".html"},
		{"page.pdf", "", "text/html; charset=utf-8", "text/html; charset=utf-8", ".pdf"},
		{"main.rs", "application/octet-stream", "text/plain; charset=utf-8", "text/plain; charset=utf-8", ".rs"},
		{"notes", "application/pdf", "text/plain", "text/plain", ""},
		{"a.docx", "", "application/zip", docx, ".docx"},
		{"a", docx, "application/zip", docx, ""},
		{".gitignore", "", "text/plain", "text/plain", ".gitignore"},
		{"data.parquet", "", "application/octet-stream", UnknownType, ".parquet"},
		{"drawing.svg", "image/svg+xml", "text/xml; charset=utf-8", "image/svg+xml", ".svg"},
		{"README.md", "text/markdown; charset=utf-8", "text/csv", "text/markdown; charset=utf-8", ".md"},
		{"letter.rtf", "text/plain", "text/rtf", "application/rtf", ".rtf"},
		{"a.txt", "application/x-thing", "text/plain; charset=utf-8", "text/plain; charset=utf-8", ".txt"},
		{"sound.webm", "audio/webm", "video/webm", "audio/webm", ".webm"},
		{"a.zip", "application/pdf", "application/zip", "application/zip", ".zip"},
		{"letter.rtf", "application/rtf", "text/plain; charset=utf-8", "text/plain; charset=utf-8", ".rtf"},
		{"image.pbm", "", "image/x-portable-bitmap", "image/x-portable-bitmap", ".pbm"},
		{"a.7z", "", "", "application/x-7z-compressed", ".7z"},
	} {
		if got := TypeOf(c.name, c.declared, c.detected); got != (FileType{c.mediaType, c.extension}) {
			t.Errorf("TypeOf(%q, %q, %q): %+v, want %s %s", c.name, c.declared, c.detected, got, c.mediaType, c.extension)
		}
	}
}

func TestExtensionOf(t *testing.T) {
	t.Parallel()
	documents := Purpose{Extensions: []string{".pdf", ".txt", ".md", ".html", ".csv"}}
	images := Purpose{Extensions: []string{".png", ".jpg"}}
	for name, c := range map[string]struct {
		purpose          Purpose
		t                FileType
		extension, takes string
	}{
		"the name's own":                 {documents, FileType{"text/markdown", ".md"}, ".md", "yes"},
		"the name's own, wrong bytes":    {documents, FileType{"image/png", ".pdf"}, ".pdf", "yes"},
		"the bytes'":                     {documents, FileType{"application/pdf", ""}, ".pdf", "yes"},
		"the bytes' before the name's":   {images, FileType{"image/jpeg", ".v2"}, ".jpg", "yes"},
		"source code":                    {documents, FileType{"text/plain", ".rs"}, ".txt", "yes"},
		"a notation of text":             {documents, FileType{"application/xml", ".xml"}, ".txt", "yes"},
		"text of an unknown extension":   {documents, FileType{"text/csv", ".foo"}, ".csv", "yes"},
		"text that is named a program":   {documents, FileType{"text/plain", ".exe"}, ".exe", "no"},
		"text where no text is taken":    {images, FileType{"text/plain", ".rs"}, ".rs", "no"},
		"a program":                      {documents, FileType{UnknownType, ".exe"}, ".exe", "no"},
		"nothing known":                  {documents, FileType{UnknownType, ""}, "", "no"},
		"anything, by name":              {Purpose{}, FileType{"text/plain", ".rs"}, ".rs", "yes"},
		"anything, by bytes":             {Purpose{}, FileType{"application/pdf", ".v2"}, ".pdf", "yes"},
		"anything, text without a name":  {Purpose{}, FileType{"text/plain", ""}, ".txt", "yes"},
		"anything, a notation of text":   {Purpose{}, FileType{"text/x-python", ""}, ".txt", "yes"},
		"anything, of an unknown format": {Purpose{}, FileType{UnknownType, ".parquet"}, ".parquet", "yes"},
		"anything, nothing known":        {Purpose{}, FileType{UnknownType, ""}, "", "yes"},
	} {
		extension, ok := c.purpose.ExtensionOf(c.t)
		if extension != c.extension || ok != (c.takes == "yes") {
			t.Errorf("%s: %q, %t; want %q, %s", name, extension, ok, c.extension, c.takes)
		}
	}
}

// TypeOf runs for each request for a copy, also for one that exists.
func TestTypeOfAllocatesNothing(t *testing.T) {
	for _, c := range []struct{ name, detected string }{
		{"report.pdf", "application/pdf"}, {"notes.md", "text/plain; charset=utf-8"}, {"photo.jpg", "image/jpeg"},
	} {
		if n := testing.AllocsPerRun(100, func() { TypeOf(c.name, "", c.detected) }); n > 1 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
