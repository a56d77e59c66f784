package transfer

import (
	"cmp"
	"fmt"
	"mime"
	"strings"

	"casgate/cas"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
)

// Unlike says what the gateway keeps with a blob that is not what the user gave for it: the
// name of an earlier upload, or a media type that the bytes don't have. It says nothing of
// a blob that the token may not see.
func (i *Item) Unlike(blob api.Blob) []string {
	if blob.CreatedAt.IsZero() {
		return nil
	}
	var unlike []string
	// The gateway keeps the last element of a path.
	if name := i.Options.Name[strings.LastIndexAny(i.Options.Name, `/\`)+1:]; i.Named && blob.Name != name {
		unlike = append(unlike, fmt.Sprintf("the blob's name is %s (the first upload with a name decides it)", cmp.Or(terminal.Printable(blob.Name), "none")))
	}
	if given := i.Options.MediaType; given != "" && !isOfType(blob.MediaType, given) {
		unlike = append(unlike, fmt.Sprintf("the blob's media type is %s (its bytes and earlier uploads decide it)", terminal.Printable(blob.MediaType)))
	}
	return unlike
}

// isOfType reports whether a blob's media type is the given one, in any spelling.
func isOfType(mediaType, given string) bool {
	base, _, err := mime.ParseMediaType(given)
	if err != nil {
		base = given
	}
	has, _, _ := strings.Cut(mediaType, ";")
	return strings.EqualFold(has, cas.UsualType(base))
}
