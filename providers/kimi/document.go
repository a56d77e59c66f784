package kimi

import (
	"encoding/hex"
	"fmt"
	"html"
	"strings"
	"unicode"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// textPart returns a document's text as a part of a message, between two lines with its
// digest. A document can't contain its own digest, so its text can't pretend to end early
// and to go on as the user's words. The part stands where the document was named: a
// message of its own would break the order of tool calls, and one at the top would change
// the prefix that Kimi's prompt cache goes by.
func textPart(m providers.Material) ([]byte, error) {
	id := hex.EncodeToString(m.Digest[:8])
	name := ""
	if m.Name != "" {
		name = fmt.Sprintf(` name="%s"`, attribute(m.Name))
	}
	return openaicompat.JSON(struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}{"text", fmt.Sprintf("<file%s id=\"%s\">\n%s\n</file id=\"%s\">", name, id, m.Text, id)})
}

// attribute escapes a name for the line before a text: its owner chose it.
func attribute(name string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, name))
}
