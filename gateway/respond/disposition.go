package respond

import (
	"fmt"
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
	return kind + fileName(name)
}

// fileName returns the parameters of Content-Disposition for a name (RFC 6266). curl -OJ
// and wget read only filename, so it comes first, and has only characters that are safe
// in ASCII and in the name of a file on disk. filename* has the whole name if they differ.
func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\/%:*?<>|`, r) {
			return '_'
		}
		return r
	}, name)
	if rest := strings.TrimLeft(safe, ".~-"); rest != safe { // hidden, or taken for an option
		safe = strings.Repeat("_", len(safe)-len(rest)) + rest
	}
	parameters := `; filename="` + safe + `"`
	if safe != name {
		parameters += "; filename*=UTF-8''" + percentEncoded(name)
	}
	return parameters
}

// percentEncoded encodes a text as an ext-value (RFC 8187, section 3.2.1).
func percentEncoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
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
