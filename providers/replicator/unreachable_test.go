package replicator_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"casgate/providers"
	"casgate/providers/replicator"
)

// viewer is a depot that reads files at a URL, and with inline pictures as bytes too.
type viewer struct {
	*depot
	inline bool
}

func (v viewer) References(string, string) []providers.ReferenceKind {
	kinds := []providers.ReferenceKind{
		{Name: "url", Needs: providers.NeedURL, Place: providers.PlacePart, Request: providers.RequestChat},
		{Name: "agent", Needs: providers.NeedCopy, Purpose: "docs", Place: providers.PlacePart, Request: "POST /agents"},
	}
	if v.inline {
		kinds = append(kinds, providers.ReferenceKind{Name: "bytes", Needs: providers.NeedBytes, MaxSize: 10, Place: providers.PlacePart, Request: providers.RequestChat})
	}
	return kinds
}

func (v viewer) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	return json.Marshal(map[string]string{"url": m.URL, "bytes": base64.StdEncoding.EncodeToString(m.Bytes)})
}

// Where the only reference for a request is a URL on a loopback address, there is none,
// unless the URL is asked for by its kind.
func TestReferenceOutOfReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reference := func(inline bool, content, kind string) (replicator.Reference, error) {
		r := w.replicator(t, func(o *replicator.Options) {
			o.Providers = []providers.Guarded{viewer{w.depot, inline}}
			o.SignURL = func(context.Context, replicator.URLRequest) (string, error) { return "http://127.0.0.1:8080/b", nil }
		})
		return r.Reference(t.Context(), want(w.put(t, content, "a.txt")), kind)
	}
	if _, err := reference(false, "few", ""); !errors.Is(err, providers.ErrReferenceUnreachable) || !strings.Contains(err.Error(), "CAS_PUBLIC_URL") {
		t.Errorf("%v", err)
	}
	for _, inline := range []bool{false, true} {
		ref, err := reference(inline, "few", "url")
		if err != nil || ref.Warning == "" || !strings.Contains(string(ref.Value), "127.0.0.1:8080") {
			t.Errorf("asked for by name, inline %t: %s %q, %v", inline, ref.Value, ref.Warning, err)
		}
	}
	ref, err := reference(true, "few", "")
	if err != nil || ref.Kind.Name != "bytes" || !strings.Contains(string(ref.Value), "ZmV3") || ref.Copy != nil || !ref.ExpiresAt.IsZero() {
		t.Errorf("in place of the URL: %+v %s, %v", ref, ref.Value, err)
	}
	if _, err := reference(true, "more than ten bytes", "bytes"); !errors.Is(err, providers.ErrNoReference) || !strings.Contains(err.Error(), "file_too_large") {
		t.Errorf("too large: %v", err)
	}
	if n := w.depot.count(providers.OpUpload); n != 0 {
		t.Errorf("%d uploads", n)
	}
}
