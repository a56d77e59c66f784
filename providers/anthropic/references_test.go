package anthropic_test

import (
	"strings"
	"testing"

	"casgate/providers"
	"casgate/providers/simulator/anthropicsim"
)

const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

// TestReferences: the blocks that a file can be used in, and the media type that it must
// have at Anthropic for them.
func TestReferences(t *testing.T) {
	t.Parallel()
	p, server := open(t, anthropicsim.Options{}, providers.Settings{})
	const (
		document  = "document container_upload"
		image     = "image container_upload"
		container = "container_upload"
	)
	for _, test := range []struct{ mediaType, extension, stored, kinds string }{
		{"application/pdf", ".pdf", "application/pdf", document},
		{"application/pdf", ".crdownload", "application/pdf", document},
		{"application/x-pdf", "", "application/pdf", document},
		{"application/octet-stream", ".pdf", "application/pdf", document},
		{"text/plain; charset=utf-8", ".txt", "text/plain", document},
		{"text/plain", "", "text/plain", document},
		{"text/markdown", "", "text/plain", document}, // no extension says otherwise, to the upload or to the reference
		{"text/plain", ".rs", "text/plain", document},
		{"text/x-go", ".go", "text/plain", document},
		{"text/csv", ".txt", "text/plain", document},
		{"image/png", ".png", "image/png", image},
		{"image/jpeg", ".jfif", "image/jpeg", image},
		{"image/jpg", "", "image/jpeg", image},
		{"Image/WebP; a=b", ".webp", "image/webp", image},
		{"", ".gif", "image/gif", image},
		{"image/*", ".jpg", "image/jpeg", image},
		{"image/png", ".pdf", "image/png", image}, // the bytes are a picture
		// Documents that are none to Anthropic, pictures that it doesn't show, and the rest.
		{"text/csv", ".csv", "text/csv", container},
		{"text/plain", ".csv", "text/csv", container},
		{"text/markdown", ".md", "text/markdown", container},
		{"text/plain", ".md", "text/markdown", container},
		{"application/json", ".json", "application/json", container},
		{docx, ".docx", docx, container},
		{docx, ".txt", docx, container},
		{"image/svg+xml", ".svg", "image/svg+xml", container},
		{"image/tiff", ".tiff", "image/tiff", container},
		{"video/mp4", ".mp4", "video/mp4", container},
		{"application/zip", ".csv", "application/zip", container},
		{"text/rtf", ".rtf", "text/rtf", container},
		{"", "", "application/octet-stream", container},
	} {
		var names []string
		for _, kind := range p.References(test.mediaType, test.extension) {
			names = append(names, kind.Name)
			if !strings.Contains(kind.Where(), "POST /messages") || (kind.Name == container) != strings.Contains(kind.Where(), "code execution") {
				t.Errorf("%s goes to %q", kind.Name, kind.Where())
			}
		}
		if got := strings.Join(names, " "); got != test.kinds {
			t.Errorf("%q %q: %s; want %s", test.mediaType, test.extension, got, test.kinds)
		}
		f, err := p.Upload(t.Context(), upload("name"+test.extension, test.mediaType, "text"))
		if err != nil {
			t.Fatal(err)
		}
		files := server.Files()
		if got := files[len(files)-1]; got.ID != f.ID || got.MediaType != test.stored {
			t.Errorf("%q %q is stored as %q; want %q", test.mediaType, test.extension, got.MediaType, test.stored)
		}
	}
}

// TestReferenceJSON: what goes into a message.
func TestReferenceJSON(t *testing.T) {
	t.Parallel()
	p, _ := open(t, anthropicsim.Options{}, providers.Settings{})
	want := map[string]string{
		"document":         `{"type":"document","source":{"type":"file","file_id":"file_1"}}`,
		"image":            `{"type":"image","source":{"type":"file","file_id":"file_1"}}`,
		"container_upload": `{"type":"container_upload","file_id":"file_1"}`,
	}
	for _, mediaType := range []string{"application/pdf", "image/png"} {
		for _, kind := range p.References(mediaType, "") {
			got, err := p.Reference(kind, providers.Material{FileID: "file_1"})
			if err != nil || string(got) != want[kind.Name] {
				t.Errorf("%s: %s, %v; want %s", kind.Name, got, err, want[kind.Name])
			}
		}
	}
}
