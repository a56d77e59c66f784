package respond

import (
	"mime"
	"strings"

	"casgate/cas"
)

// contentDisposition returns the value of Content-Disposition for a blob. It is empty
// if the blob has no name and browsers may show it in place.
func contentDisposition(b cas.Blob, download string) string {
	kind, name := "attachment", download
	if download == "" {
		name = b.Name
		if isHarmless(b.MediaType) {
			kind = "inline"
		}
	}
	if name == "" {
		if kind == "inline" {
			return ""
		}
		return kind
	}
	return mime.FormatMediaType(kind, map[string]string{"filename": name})
}

// isHarmless reports whether browsers may show a blob of this type in place: types
// that can't run scripts.
func isHarmless(mediaType string) bool {
	base, _, _ := strings.Cut(mediaType, ";")
	switch base = strings.TrimSpace(strings.ToLower(base)); {
	case base == "image/svg+xml":
		return false
	case strings.HasPrefix(base, "image/"), strings.HasPrefix(base, "audio/"), strings.HasPrefix(base, "video/"):
		return true
	default:
		return base == "application/pdf" || base == "text/plain" || base == "text/markdown"
	}
}
