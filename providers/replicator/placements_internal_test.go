package replicator

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"casgate/providers"
)

// A placement that is remembered is the one that is found anew, whatever part of its key
// differs, and the memory stays within its bounds.
func TestPlacementsAreRemembered(t *testing.T) {
	t.Parallel()
	description := func(provider string) providers.Description {
		return providers.Description{Provider: provider, Purposes: []providers.Purpose{
			{Name: "document-" + provider, Extensions: []string{".pdf", ".txt"}},
			{Name: "image-" + provider, MediaTypes: []string{"image/*"}},
		}}
	}
	s := newPlacements()
	for range 2 { // the second time from memory
		for _, provider := range []string{"a", "b"} {
			for _, name := range []string{"", "x.pdf", "x.png", `C:\x".txt`, strings.Repeat("x", 2*maxPlacementKey)} {
				for _, declared := range []string{"", "text/plain", "image/png"} {
					for _, detected := range []string{"text/plain; charset=utf-8", "image/png"} {
						for _, purpose := range []string{"", "image-" + provider, "none"} {
							key := placementKey{provider, name, declared, detected, purpose}
							got, err := s.of(description(provider), key)
							want, wantErr := newPlacements().of(description(provider), key)
							if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
								t.Errorf("%+v: %+v, %v; want %+v, %v", key, got, err, want, wantErr)
							}
						}
					}
				}
			}
		}
	}
	if n := len(s.known); n != 2*4*3*2*2 {
		t.Errorf("%d are remembered", n)
	}
	for i := range 2 * maxPlacements {
		if _, err := s.of(description("a"), placementKey{provider: "a", name: fmt.Sprintf("%d.pdf", i)}); err != nil {
			t.Fatal(err)
		}
		if len(s.known) > maxPlacements {
			t.Fatalf("%d are remembered", len(s.known))
		}
	}
}
