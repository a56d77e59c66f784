package gateway

import (
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/dunglas/httpsfv"

	"casgate/cas"
)

// The digest fields of RFC 9530. Both name the same bytes here: the gateway
// applies no content coding.
const (
	headerReprDigest    = "Repr-Digest"
	headerContentDigest = "Content-Digest"
)

// requestDigest returns the SHA-256 that the digest fields declare, or the zero
// digest where they declare none. A malformed field and two that contradict each
// other are errors.
func requestDigest(h http.Header) (cas.Digest, error) {
	repr, err := fieldDigest(h, headerReprDigest)
	if err != nil {
		return cas.Digest{}, err
	}
	content, err := fieldDigest(h, headerContentDigest)
	if err != nil {
		return cas.Digest{}, err
	}
	switch {
	case repr.IsZero():
		return content, nil
	case !content.IsZero() && content != repr:
		return cas.Digest{}, badRequest(headerReprDigest + " and " + headerContentDigest + " contradict each other")
	}
	return repr, nil
}

// fieldDigest returns the SHA-256 that one digest field declares. Other
// algorithms are ignored, as the RFC has it.
func fieldDigest(h http.Header, name string) (cas.Digest, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return cas.Digest{}, nil
	}
	d, err := parseDigestField(values)
	if err != nil {
		return cas.Digest{}, badRequest(fmt.Sprintf("%s: %v", name, err))
	}
	return d, nil
}

// parseDigestField reads a field's lines, a structured dictionary of byte
// sequences by algorithm, and returns its sha-256 or the zero digest.
func parseDigestField(lines []string) (cas.Digest, error) {
	var d cas.Digest
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return d, fmt.Errorf("not a dictionary such as sha-256=:…: (%w)", err)
	}
	member, ok := dict.Get("sha-256")
	if !ok {
		return d, nil
	}
	item, ok := member.(httpsfv.Item)
	if !ok {
		return d, fmt.Errorf("sha-256 is a list, not one byte sequence")
	}
	sum, ok := item.Value.([]byte)
	if !ok {
		return d, fmt.Errorf("sha-256 is not a byte sequence between colons")
	}
	if len(sum) != len(d) {
		return d, fmt.Errorf("sha-256 has %d bytes, not %d", len(sum), len(d))
	}
	copy(d[:], sum)
	return d, nil
}

// formatDigestField is the inverse of parseDigestField.
func formatDigestField(d cas.Digest) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(d[:]) + ":"
}
