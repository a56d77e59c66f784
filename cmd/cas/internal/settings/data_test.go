package settings

import (
	"os"
	"testing"
)

func TestDefaultDataDir(t *testing.T) {
	for _, c := range []struct{ xdg, home, state, want string }{
		{"/xdg", "/home/me", "/var/lib/other", "/xdg/casgate"},
		{"relative", "/home/me", "", "/home/me/.local/share/casgate"},
		{"", "/home/me", "/var/lib/other", "/home/me/.local/share/casgate"},
		{"", "", "/var/lib/other:/var/lib/second", "/var/lib/other"},
		{"", "", "", "/var/lib/casgate"},
	} {
		t.Setenv("XDG_DATA_HOME", c.xdg)
		t.Setenv("STATE_DIRECTORY", c.state)
		t.Setenv("HOME", c.home)
		if c.home == "" {
			if err := os.Unsetenv("HOME"); err != nil {
				t.Fatal(err)
			}
		}
		if got := DefaultDataDir(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
