package request

import (
	"fmt"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/gateway/problem"
)

// disposition returns the parameters of a part's Content-Disposition. It takes a name
// with blanks without quotes, too, where it is the last parameter.
func disposition(part *multipart.Part) (map[string]string, error) {
	field := part.Header.Get(echo.HeaderContentDisposition)
	_, params, err := mime.ParseMediaType(field)
	if err == nil {
		return params, nil
	}
	const key = "filename="
	if i := strings.LastIndex(strings.ToLower(field), key); i >= 0 {
		name := strings.TrimSpace(field[i+len(key):])
		_, params, headErr := mime.ParseMediaType(strings.TrimRight(field[:i], "; "))
		if headErr == nil && name != "" && !strings.ContainsAny(name, `";\`) {
			params["filename"] = name
			return params, nil
		}
	}
	return nil, problem.BadRequest(fmt.Sprintf("the Content-Disposition %.200q of a part of the form is malformed (%v); put the name in double quotes", field, err))
}

// checkPart refuses a part that can't be read for what it is.
func checkPart(part *multipart.Part) error {
	if part.Header.Get(echo.HeaderContentDisposition) != "" {
		if _, err := disposition(part); err != nil {
			return err
		}
	}
	switch coding := strings.ToLower(part.Header.Get("Content-Transfer-Encoding")); coding {
	case "", "7bit", "8bit", "binary":
		return nil
	default: // RFC 7578, section 4.7: senders must not use it
		return problem.BadRequest(fmt.Sprintf("a part of the form has the Content-Transfer-Encoding %.100q; send its bytes as they are", coding))
	}
}

// isFilePart reports whether a part has a filename.
func isFilePart(part *multipart.Part) bool {
	params, err := disposition(part)
	_, has := params["filename"]
	return err == nil && has
}

// fileName returns the filename of a part. Some mail programs and libraries write it in
// encoded words (RFC 2047), which no ordinary name looks like.
func fileName(part *multipart.Part) string {
	params, err := disposition(part)
	name := params["filename"]
	if err != nil || !strings.HasPrefix(name, "=?") || !strings.HasSuffix(name, "?=") {
		return name
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(name)
	if err != nil { // an unknown charset
		return name
	}
	return decoded
}

// unquotedBoundary returns the boundary in a Content-Type that has characters that need
// quotes in it, but no quotes.
func unquotedBoundary(contentType string) (boundary string, ok bool) {
	const prefix, key = echo.MIMEMultipartForm, "boundary="
	lower := strings.ToLower(contentType)
	i := strings.Index(lower, key)
	if !strings.HasPrefix(lower, prefix) || i < 0 {
		return "", false
	}
	boundary, _, _ = strings.Cut(contentType[i+len(key):], ";")
	boundary = strings.TrimSpace(boundary)
	isBoundary := boundary != "" && len(boundary) <= 70 && !strings.ContainsFunc(boundary, func(r rune) bool { // RFC 2046, section 5.1.1
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("'()+_,-./:=?", r)
	})
	return boundary, isBoundary
}
