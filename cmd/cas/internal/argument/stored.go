package argument

import (
	"errors"
	"os"
	"strings"

	"casgate/cas"
)

// Stored names a blob at the gateway, by its digest or its hash URL, or a file at the
// gateway, by its id. At providers a file has its own name and media type, and a blob
// those that it was first stored with.
type Stored struct {
	Blob Blob
	File FileID // empty: it names the blob
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Stored) UnmarshalText(text []byte) error {
	if cas.IsFileID(string(text)) {
		return s.File.UnmarshalText(text)
	}
	return s.Blob.UnmarshalText(text)
}

// String returns the text that was given.
func (s Stored) String() string {
	if s.File != "" {
		return string(s.File)
	}
	return s.Blob.String()
}

// Content names a blob or a file at the gateway, or a file on this machine.
type Content struct {
	Stored
	Path string // on this machine; empty: the content is stored
}

// UnmarshalText implements encoding.TextUnmarshaler. Text that looks like a digest, a
// URL or a file's id is one; a file of such a name on this machine is given as ./NAME. Hex
// digits alone are a digest, or the beginning of one, unless there is a file of that name.
func (c *Content) UnmarshalText(text []byte) error {
	given := string(text)
	if strings.Contains(given, "://") || strings.HasPrefix(given, algorithm) || cas.IsFileID(given) {
		return c.Stored.UnmarshalText(text)
	}
	if _, err := os.Lstat(given); err != nil && hexText.MatchString(given) {
		return c.Stored.UnmarshalText(text)
	}
	if given == "" {
		return errors.New("an empty argument names no file")
	}
	c.Path = given
	return nil
}
