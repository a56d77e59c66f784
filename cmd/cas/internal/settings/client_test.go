package settings

import (
	"os"
	"testing"
)

// The admin token of a data folder goes to the gateway of that folder alone. A token that
// is set goes to any gateway.
func TestAdminTokenStaysOnThisMachine(t *testing.T) {
	data := Data{t.TempDir()}
	for name, content := range map[string]string{AdminTokenFile: "cas_admin\n", ListenFile: "192.0.2.7:8080\n"} {
		if err := os.WriteFile(data.Path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for base, want := range map[string]string{
		"":                             "cas_admin", // the default URL
		"http://127.0.0.1:9999":        "cas_admin",
		"https://localhost":            "cas_admin",
		"http://[::1]:8080/":           "cas_admin",
		"http://192.0.2.7:8080/":       "cas_admin", // where the gateway listens
		"http://192.0.2.7:8081":        "",
		"http://192.0.2.2:18148":       "",
		"https://files.example.com":    "",
		"http://127.0.0.1@192.0.2.2":   "",
		"http://127.0.0.1.example.com": "",
		"http://localhost.example.com": "",
		"192.0.2.2:18148":              "",
	} {
		c := Client{Data: data, URL: base}
		if got, _, err := c.readToken(Profile{}); got != want || err != nil {
			t.Errorf("%q: the token is %q (%v), want %q", base, got, err, want)
		}
		c.Token = "cas_set"
		if got, _, err := c.readToken(Profile{}); got != "cas_set" || err != nil {
			t.Errorf("%q: the set token is %q (%v)", base, got, err)
		}
	}
	c := Client{Data: Data{t.TempDir()}, URL: "http://192.0.2.7:8080"}
	if got, _, err := c.readToken(Profile{}); got != "" || err != nil {
		t.Errorf("without a gateway: %q, %v", got, err)
	}
}
