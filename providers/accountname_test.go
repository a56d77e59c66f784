package providers

import (
	"strings"
	"testing"
)

func TestNamedAccount(t *testing.T) {
	t.Parallel()
	if got, err := NamedAccount("kimi", "api.example", "team-1"); got != "kimi:team-1@api.example" || err != nil {
		t.Errorf("%q, error %v", got, err)
	}
	for _, bad := range []string{"", "Team", "a b", "-a", "a-", "a@b", "a:b", "团队", strings.Repeat("a", 65)} {
		if got, err := NamedAccount("kimi", "api.example", bad); err == nil {
			t.Errorf("the name %q makes %q", bad, got)
		}
	}
}
