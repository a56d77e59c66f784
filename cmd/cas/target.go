package main

import (
	"errors"
	"fmt"
	"strings"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/gateway/client"
)

// advise adds the next step to errors that a setting of the client's would mend.
func advise(err error) error {
	if errors.Is(err, client.ErrUnauthenticated) {
		return fmt.Errorf("%w; the token comes from CAS_TOKEN, or from the file %s in CAS_DATA_DIR", err, settings.AdminTokenFile)
	}
	return err
}

// blobRef names a blob in the arguments: by its digest or by its hash URL.
type blobRef struct {
	client.BlobURL        // of a bare digest only the digest
	text           string // as it was given
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *blobRef) UnmarshalText(text []byte) (err error) {
	r.text = string(text)
	if strings.Contains(r.text, "://") {
		r.BlobURL, err = client.ParseBlobURL(r.text)
	} else {
		r.Digest, err = cas.ParseDigest(r.text)
	}
	return err
}

// String returns what was given.
func (r blobRef) String() string { return r.text }

// digestAt returns the digest, and refuses a URL of another gateway.
func (r blobRef) digestAt(gateway *client.Client) (cas.Digest, error) {
	if r.Base != "" && r.Base != gateway.BaseURL() {
		return cas.Digest{}, exit.Usagef("%s is not a URL of the gateway at %s; give the digest alone, or set CAS_URL", r.Digest, gateway.BaseURL())
	}
	return r.Digest, nil
}
