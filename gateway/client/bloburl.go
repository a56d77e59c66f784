package client

import (
	"fmt"
	"net/url"
	"strings"

	"casgate/cas"
)

// BlobURL has the parts of a hash URL.
type BlobURL struct {
	Base      string // the gateway's URL
	Digest    cas.Digest
	Signature url.Values // nil if the URL isn't signed
}

// ParseBlobURL parses a hash URL, signed or not.
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
	// Any hash URL may have the name for a download; that is no signature.
	if query := u.Query(); len(query) > 1 || len(query) == 1 && !query.Has("download") {
		b.Signature = query
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = u.Path[:at], "", "", ""
	b.Base, err = ParseBaseURL(u.String())
	return b, err
}
