package respond

import (
	"testing"

	"casgate/cas"
)

func TestContentDisposition(t *testing.T) {
	for _, tt := range []struct{ mediaType, name, download, want string }{
		{"image/png", "", "", ""},
		{"image/png", "a.png", "", `inline; filename="a.png"`},
		{"image/svg+xml", "", "", "attachment"},
		{"IMAGE/SVG+XML; charset=utf-8", "", "", "attachment"},
		{"text/html", "x.html", "", `attachment; filename="x.html"`},
		{"text/plain; charset=utf-8", "", "", ""},
		{"text/markdown; charset=utf-8", "a.md", "", `inline; filename="a.md"`},
		{"application/pdf", "", "r.pdf", `attachment; filename="r.pdf"`},
		{"application/octet-stream", `a"b\c`, "", `attachment; filename="a_b_c"; filename*=UTF-8''a%22b%5Cc`},
		{"application/pdf", "报告 1.pdf", "", `inline; filename="__ 1.pdf"; filename*=UTF-8''%E6%8A%A5%E5%91%8A%201.pdf`},
		{"text/plain", ".bashrc", "", `inline; filename="_bashrc"; filename*=UTF-8''.bashrc`},
		{"text/plain", "100%41.txt", "", `inline; filename="100_41.txt"; filename*=UTF-8''100%2541.txt`},
		{"text/plain", "a.txt\r\nX: y", "", `inline; filename="a.txt__X_ y"; filename*=UTF-8''a.txt%0D%0AX%3A%20y`},
		{"text/javascript", "", "", "attachment"},
		{"application/xml", "", "", "attachment"},
	} {
		if got := contentDisposition(cas.Blob{MediaType: tt.mediaType, Name: tt.name}, tt.download); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
