package request

import (
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"casgate/cas"
	"casgate/gateway/problem"
)

const (
	maxNameLen      = 255 // bytes
	maxMediaTypeLen = 255 // bytes
)

// CleanName returns the last path element of a name that a client gave. It refuses
// names that no file system or header can carry.
func CleanName(name string) (string, error) {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	switch {
	case !utf8.ValidString(name):
		return "", problem.BadRequest("the name is not valid UTF-8")
	case len(name) > maxNameLen:
		return "", problem.BadRequest(fmt.Sprintf("the name has %d bytes, and %d are allowed", len(name), maxNameLen))
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", problem.BadRequest("the name has control characters")
	case name == "." || name == "..":
		return "", nil
	}
	return name, nil
}

// MediaType returns the media type that a Content-Type declares, in its normal form.
// It is empty if the Content-Type says nothing about the bytes: it is missing, is
// application/octet-stream, or is the type that curl sends by default.
func MediaType(contentType string) (string, error) {
	if contentType == "" {
		return "", nil
	}
	if len(contentType) > maxMediaTypeLen {
		return "", problem.BadRequest(fmt.Sprintf("Content-Type has %d bytes, and %d are allowed", len(contentType), maxMediaTypeLen))
	}
	base, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.Contains(base, "/") {
		return "", problem.BadRequest(fmt.Sprintf("Content-Type %q is not a media type such as text/plain", contentType))
	}
	switch base {
	case cas.DefaultMediaType, "application/x-www-form-urlencoded":
		return "", nil
	}
	formatted := mime.FormatMediaType(base, params)
	if formatted == "" {
		return "", problem.BadRequest(fmt.Sprintf("Content-Type %q is not a media type such as text/plain", contentType))
	}
	return formatted, nil
}
