package request

import (
	"net/http"
	"testing"

	"pgregory.net/rapid"

	"casgate/cas"
)

func TestDigestFieldRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := cas.DigestOf(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		got, err := parseDigest([]string{FormatDigest(d)})
		if err != nil || got == nil || *got != d {
			t.Fatalf("%v, %v", got, err)
		}
	})
}

func TestDigestFields(t *testing.T) {
	d := cas.DigestOf([]byte("x"))
	good := FormatDigest(d)
	other := FormatDigest(cas.DigestOf(nil))
	for name, tt := range map[string]struct {
		header http.Header
		want   *cas.Digest
		fails  bool
	}{
		"none":              {http.Header{}, nil, false},
		"repr":              {http.Header{"Repr-Digest": {good}}, &d, false},
		"content":           {http.Header{"Content-Digest": {good}}, &d, false},
		"zero":              {http.Header{"Content-Digest": {FormatDigest(cas.Digest{})}}, &cas.Digest{}, false},
		"zero and another":  {http.Header{"Repr-Digest": {FormatDigest(cas.Digest{})}, "Content-Digest": {good}}, nil, true},
		"both":              {http.Header{"Repr-Digest": {good}, "Content-Digest": {good}}, &d, false},
		"contradiction":     {http.Header{"Repr-Digest": {good}, "Content-Digest": {other}}, nil, true},
		"among others":      {http.Header{"Repr-Digest": {"md5=:AAAA:, " + good}}, &d, false},
		"on two lines":      {http.Header{"Repr-Digest": {"sha-512=:AAAA:", good}}, &d, false},
		"others alone":      {http.Header{"Repr-Digest": {"sha-512=:AAAA:"}}, nil, false},
		"not a dictionary":  {http.Header{"Repr-Digest": {"!"}}, nil, true},
		"hex":               {http.Header{"Repr-Digest": {"sha-256=" + d.Hex()}}, nil, true},
		"a string":          {http.Header{"Repr-Digest": {`sha-256="abc"`}}, nil, true},
		"a list":            {http.Header{"Repr-Digest": {"sha-256=(:AAAA:)"}}, nil, true},
		"too short":         {http.Header{"Repr-Digest": {"sha-256=:AAAA:"}}, nil, true},
		"base64 cut":        {http.Header{"Repr-Digest": {good[:len(good)-3]}}, nil, true},
		"without its value": {http.Header{"Repr-Digest": {"sha-256"}}, nil, true},
	} {
		got, err := declaredDigest(tt.header)
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzParseDigestField(f *testing.F) {
	f.Add(FormatDigest(cas.DigestOf(nil)))
	f.Add("sha-256=:AAAA:, sha-512=:AAAA:")
	f.Fuzz(func(t *testing.T, line string) {
		d, err := parseDigest([]string{line})
		if err != nil && d != nil {
			t.Fatalf("%q: %v with %v", line, d, err)
		}
	})
}
