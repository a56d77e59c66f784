package request

import (
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/dunglas/httpsfv"

	"casgate/cas"
	"casgate/gateway/problem"
)

// The digest fields of RFC 9530. Both name the same bytes here: the gateway
// applies no content coding.
const (
	HeaderReprDigest    = "Repr-Digest"
	HeaderContentDigest = "Content-Digest"
)

// declaredDigest returns the SHA-256 that the digest fields declare, or nil if they declare
// none. A malformed field is an error, and so are two fields that
// contradict each other.
func declaredDigest(h http.Header) (*cas.Digest, error) {
	repr, err := fieldDigest(h, HeaderReprDigest)
	if err != nil {
		return nil, err
	}
	content, err := fieldDigest(h, HeaderContentDigest)
	if err != nil {
		return nil, err
	}
	switch {
	case repr == nil:
		return content, nil
	case content != nil && *content != *repr:
		return nil, problem.BadRequest(HeaderReprDigest + " and " + HeaderContentDigest + " contradict each other")
	}
	return repr, nil
}

// fieldDigest returns the SHA-256 that one digest field declares. Other
// algorithms are ignored, as the RFC says.
func fieldDigest(h http.Header, name string) (*cas.Digest, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return nil, nil
	}
	d, err := parseDigest(values)
	if err != nil {
		return nil, problem.BadRequest(fmt.Sprintf("%s: %v", name, err))
	}
	return d, nil
}

// parseDigest reads a field's lines, a structured dictionary of byte
// sequences by algorithm, and returns its sha-256, or nil if there is none.
func parseDigest(lines []string) (*cas.Digest, error) {
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return nil, fmt.Errorf("not a dictionary such as sha-256=:…: (%w)", err)
	}
	member, ok := dict.Get("sha-256")
	if !ok {
		return nil, nil
	}
	item, ok := member.(httpsfv.Item)
	if !ok {
		return nil, fmt.Errorf("sha-256 is a list, not one byte sequence")
	}
	sum, ok := item.Value.([]byte)
	if !ok {
		return nil, fmt.Errorf("sha-256 is not a byte sequence between colons")
	}
	var d cas.Digest
	if len(sum) != len(d) {
		return nil, fmt.Errorf("sha-256 has %d bytes, not %d", len(sum), len(d))
	}
	copy(d[:], sum)
	return &d, nil
}

// FormatDigest returns the value of a digest field.
func FormatDigest(d cas.Digest) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(d[:]) + ":"
}
