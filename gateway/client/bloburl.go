package client

import (
	"fmt"
	"net/url"
	"strings"

	"casgate/cas"
)

// BlobURL is a hash URL, taken apart.
type BlobURL struct {
	Base      string // the gateway's URL
	Digest    cas.Digest
	Signature url.Values // of a signed URL, else nil
}

// ParseBlobURL takes a hash URL apart, signed or not.
func ParseBlobURL(text string) (BlobURL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return BlobURL{}, fmt.Errorf("%w: the URL is malformed", cas.ErrInvalidDigest)
	}
	at := strings.LastIndex(u.Path, blobsPath+"/")
	if at < 0 {
		return BlobURL{}, fmt.Errorf("%w: the URL is not one that ends in %s/sha256:…", cas.ErrInvalidDigest, blobsPath)
	}
	b := BlobURL{}
	if b.Digest, err = cas.ParseDigest(u.Path[at+len(blobsPath)+1:]); err != nil {
		return BlobURL{}, err
	}
	// The name to save under, which any hash URL may have, is no signature.
	if query := u.Query(); len(query) > 1 || len(query) == 1 && !query.Has("download") {
		b.Signature = query
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = u.Path[:at], "", "", ""
	b.Base, err = parseBase(u.String())
	return b, err
}
