// Package argument has the types of the arguments and flags of the commands: what
// their text means, and nothing about what happens to it.
package argument

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/client"
)

// Blob names a blob by its digest, the beginning of its digest, or its hash URL.
type Blob struct {
	client.BlobURL        // of a bare digest only the digest, of a beginning nothing
	text           string // as it was given
	prefix         string // hex digits with which the digest begins
}

// hexText matches a digest without its algorithm, or a beginning of one that is long enough
// to name a blob.
var hexText = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// digestHex is the number of hex digits of a digest.
const digestHex = 2 * sha256.Size

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Blob) UnmarshalText(text []byte) (err error) {
	b.text = string(text)
	digits := strings.TrimPrefix(b.text, algorithm)
	switch {
	case strings.Contains(b.text, "://"):
		b.BlobURL, err = client.ParseBlobURL(b.text)
	case len(digits) < digestHex && hexText.MatchString(digits):
		b.prefix = digits
	case hexText.MatchString(b.text):
		b.Digest, err = cas.ParseDigest(algorithm + b.text)
	case strings.HasPrefix(b.text, algorithm):
		b.Digest, err = cas.ParseDigest(b.text)
	default:
		err = fmt.Errorf("%w: %q; give the digest of a blob, its first 8 digits or more, or its hash URL", cas.ErrInvalidDigest, b.text)
	}
	return err
}

// Filter returns the digest of a flag that need not be set; nil: it isn't. Errors are those of
// DigestAt.
func (b Blob) Filter(ctx context.Context, gateway *client.Client) (*cas.Digest, error) {
	if b.text == "" {
		return nil, nil
	}
	d, err := b.DigestAt(ctx, gateway)
	return &d, err
}

// String returns the text that was given.
func (b Blob) String() string { return b.text }

// algorithm is the beginning of a digest's text.
const algorithm = "sha256:"

// Whole returns the digest. The beginning of one is an error, for commands about blobs that
// nobody has yet.
func (b Blob) Whole() (cas.Digest, error) {
	if b.prefix != "" {
		return cas.Digest{}, exit.Usagef("%s is the beginning of a digest; this command needs the whole of it", b.text)
	}
	return b.Digest, nil
}

// blobIndex finds blobs by the first and the last digest.
type blobIndex interface {
	Between(ctx context.Context, first, last cas.Digest, limit int) ([]cas.Blob, error)
}

// DigestIn returns the digest. It looks in an index for the blob that begins with a part of
// it. Errors: cas.ErrBlobNotFound; an exit.Usage if several begin so.
func (b Blob) DigestIn(ctx context.Context, index blobIndex) (cas.Digest, error) {
	if b.prefix == "" {
		return b.Digest, nil
	}
	first, last, err := cas.DigestsFrom(b.prefix)
	if err != nil {
		return cas.Digest{}, err
	}
	blobs, err := index.Between(ctx, first, last, 2)
	switch {
	case err != nil:
		return cas.Digest{}, err
	case len(blobs) == 0:
		return cas.Digest{}, fmt.Errorf("%w: no digest begins with %s", cas.ErrBlobNotFound, b.prefix)
	case len(blobs) > 1:
		return cas.Digest{}, exit.Usagef("%s and %s begin with %s; give more digits", blobs[0].Digest, blobs[1].Digest, b.prefix)
	}
	return blobs[0].Digest, nil
}

// DigestAt returns the digest. It asks the gateway for the blob that begins with a part of
// it. A URL of another gateway is an error.
func (b Blob) DigestAt(ctx context.Context, gateway *client.Client) (cas.Digest, error) {
	if b.prefix != "" {
		d, err := gateway.FindDigest(ctx, b.prefix)
		if errors.Is(err, client.ErrAmbiguous) {
			err = exit.With(exit.Usage, err)
		}
		return d, err
	}
	if b.Base != "" && b.Base != gateway.BaseURL() {
		return cas.Digest{}, exit.Usagef("%s is not a URL of the gateway at %s; give the digest alone, or set CAS_URL", b.Digest, gateway.BaseURL())
	}
	return b.Digest, nil
}
