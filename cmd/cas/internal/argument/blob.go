// Package argument has the types of the arguments and flags of the commands: what
// their text means, and nothing about what happens to it.
package argument

import (
	"strings"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/client"
)

// Blob names a blob by its digest or its hash URL.
type Blob struct {
	client.BlobURL        // of a bare digest only the digest
	text           string // as it was given
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Blob) UnmarshalText(text []byte) (err error) {
	b.text = string(text)
	if strings.Contains(b.text, "://") {
		b.BlobURL, err = client.ParseBlobURL(b.text)
	} else {
		b.Digest, err = cas.ParseDigest(b.text)
	}
	return err
}

// String returns the text that was given.
func (b Blob) String() string { return b.text }

// DigestAt returns the digest. A URL of another gateway is an error.
func (b Blob) DigestAt(gateway *client.Client) (cas.Digest, error) {
	if b.Base != "" && b.Base != gateway.BaseURL() {
		return cas.Digest{}, exit.Usagef("%s is not a URL of the gateway at %s; give the digest alone, or set CAS_URL", b.Digest, gateway.BaseURL())
	}
	return b.Digest, nil
}
