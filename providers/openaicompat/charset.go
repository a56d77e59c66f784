package openaicompat

import (
	"bytes"
	"io"
	"mime"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// charsetOf returns the encoding that a Content-Type declares. It is nil for UTF-8, for an
// unknown one, and if none is declared.
func charsetOf(contentType string) encoding.Encoding {
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil
	}
	declared, err := htmlindex.Get(parameters["charset"])
	if err != nil || declared == unicode.UTF8 {
		return nil
	}
	return declared
}

// toUTF8 returns a transformer to UTF-8, without a byte order mark. A byte order mark
// counts more than the declared encoding. With neither, bytes stay as they are.
func toUTF8(declared encoding.Encoding) transform.Transformer {
	var decoder transform.Transformer = transform.Nop
	if declared != nil {
		decoder = declared.NewDecoder()
	}
	return unicode.BOMOverride(decoder)
}

// decoded returns an answer's body in UTF-8.
func decoded(contentType string, body []byte) []byte {
	declared := charsetOf(contentType)
	marked := bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) || bytes.HasPrefix(body, []byte("\xfe\xff")) || bytes.HasPrefix(body, []byte("\xff\xfe"))
	if declared == nil && !marked {
		return body
	}
	text, _, err := transform.Bytes(toUTF8(declared), body)
	if err != nil { // decoders replace invalid bytes, so this is not expected
		return body
	}
	return text
}

// textReader reads a text as UTF-8, without a byte order mark. If the Content-Type
// declares an encoding other than UTF-8, that counts; otherwise the bytes decide. The
// error is errCharset if they can't.
func textReader(contentType string, text io.Reader) io.Reader {
	var decoder transform.Transformer = &guessed{}
	if declared := charsetOf(contentType); declared != nil {
		decoder = declared.NewDecoder()
	}
	return transform.NewReader(text, unicode.BOMOverride(decoder))
}
