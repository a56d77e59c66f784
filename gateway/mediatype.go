package gateway

import (
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"casgate/cas"
)

const (
	maxNameLen      = 255 // bytes
	maxMediaTypeLen = 255 // bytes
)

// declaredMediaType returns the media type that a Content-Type declares, in its
// normal form; empty where it says nothing about the bytes: no header, the type
// of bytes nothing is known about, and the one that curl and others send unasked.
func declaredMediaType(contentType string) (string, error) {
	if contentType == "" {
		return "", nil
	}
	if len(contentType) > maxMediaTypeLen {
		return "", badRequest(fmt.Sprintf("Content-Type has %d bytes, and %d are allowed", len(contentType), maxMediaTypeLen))
	}
	base, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.Contains(base, "/") {
		return "", badRequest(fmt.Sprintf("Content-Type %q is not a media type such as text/plain", contentType))
	}
	switch base {
	case cas.DefaultMediaType, "application/x-www-form-urlencoded":
		return "", nil
	}
	formatted := mime.FormatMediaType(base, params)
	if formatted == "" {
		return "", badRequest(fmt.Sprintf("Content-Type %q is not a media type such as text/plain", contentType))
	}
	return formatted, nil
}

// isHarmless reports whether browsers may show a blob of this type in place:
// types that can't run scripts.
func isHarmless(mediaType string) bool {
	base, _, _ := strings.Cut(mediaType, ";")
	switch base = strings.TrimSpace(strings.ToLower(base)); {
	case base == "image/svg+xml":
		return false
	case strings.HasPrefix(base, "image/"), strings.HasPrefix(base, "audio/"), strings.HasPrefix(base, "video/"):
		return true
	}
	return mediaTypeIs(mediaType, "application/pdf") || mediaTypeIs(mediaType, "text/plain")
}

func mediaTypeIs(mediaType, base string) bool {
	got, _, _ := strings.Cut(mediaType, ";")
	return strings.EqualFold(strings.TrimSpace(got), base)
}

// contentDisposition returns the header's value for a blob, or empty where none
// is needed: harmless, and without a name.
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

// cleanName takes a name given by a client down to its last path element, and
// refuses what no file system or header could carry.
func cleanName(name string) (string, error) {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	switch {
	case !utf8.ValidString(name):
		return "", badRequest("the name is not valid UTF-8")
	case len(name) > maxNameLen:
		return "", badRequest(fmt.Sprintf("the name has %d bytes, and %d are allowed", len(name), maxNameLen))
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", badRequest("the name has control characters")
	case name == "." || name == "..":
		return "", nil
	}
	return name, nil
}
