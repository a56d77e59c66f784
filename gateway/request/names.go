package request

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"casgate/gateway/problem"
)

const maxNameLen = 255 // characters

// CleanName returns the last path element of a name that a client gave. It refuses
// names that no file system or header can carry.
func CleanName(name string) (string, error) {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	switch n := utf8.RuneCountInString(name); {
	case !utf8.ValidString(name):
		return "", problem.BadRequest("the name is not valid UTF-8")
	case n > maxNameLen:
		return "", problem.BadRequest(fmt.Sprintf("the name has %d characters, and %d are allowed", n, maxNameLen))
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", problem.BadRequest("the name has control characters")
	case name == "." || name == "..":
		return "", nil
	}
	return name, nil
}
