package respond

import (
	"testing"

	"casgate/cas"
)

func TestContentDisposition(t *testing.T) {
	for _, tt := range []struct{ mediaType, name, download, want string }{
		{"image/png", "", "", ""},
		{"image/png", "a.png", "", `inline; filename=a.png`},
		{"image/svg+xml", "", "", "attachment"},
		{"IMAGE/SVG+XML; charset=utf-8", "", "", "attachment"},
		{"text/html", "x.html", "", `attachment; filename=x.html`},
		{"text/plain; charset=utf-8", "", "", ""},
		{"text/markdown; charset=utf-8", "a.md", "", `inline; filename=a.md`},
		{"application/pdf", "", "r.pdf", `attachment; filename=r.pdf`},
		{"application/octet-stream", `a"b\c`, "", `attachment; filename="a\"b\\c"`},
		{"application/pdf", "报告 1.pdf", "", `inline; filename*=utf-8''%E6%8A%A5%E5%91%8A%201.pdf`},
		{"text/javascript", "", "", "attachment"},
		{"application/xml", "", "", "attachment"},
	} {
		if got := contentDisposition(cas.Blob{MediaType: tt.mediaType, Name: tt.name}, tt.download); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
