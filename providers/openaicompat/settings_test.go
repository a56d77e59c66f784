package openaicompat_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/openaicompat"
	"casgate/providers/simulator/openaisim"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings providers.Settings
		host     string // of the account; empty: it can't be opened
		says     string // the error does
	}{
		"usual":                {providers.Settings{APIKey: key}, "api.openai.com", ""},
		"another host":         {providers.Settings{APIKey: key, BaseURL: "https://h.example/some/v1/"}, "h.example", ""},
		"port":                 {providers.Settings{APIKey: key, BaseURL: "https://h.example:8443/v1"}, "h.example:8443", ""},
		"usual port, upper":    {providers.Settings{APIKey: key, BaseURL: "https://H.Example:443/v1"}, "h.example", ""},
		"loopback":             {providers.Settings{APIKey: key, BaseURL: "http://127.0.0.1:99/v1"}, "127.0.0.1:99", ""},
		"loopback by name":     {providers.Settings{APIKey: key, BaseURL: "http://localhost/v1"}, "localhost", ""},
		"loopback IPv6":        {providers.Settings{APIKey: key, BaseURL: "http://[::1]:99/v1"}, "[::1]:99", ""},
		"in the clear":         {providers.Settings{APIKey: key, BaseURL: "http://h.example/v1"}, "", "in the clear"},
		"in the clear, a trap": {providers.Settings{APIKey: key, BaseURL: "http://127.0.0.1.h.example/v1"}, "", "in the clear"},
		"no scheme":            {providers.Settings{APIKey: key, BaseURL: "h.example/v1"}, "", "CAS_OPENAI_BASE_URL"},
		"another scheme":       {providers.Settings{APIKey: key, BaseURL: "ftp://h.example/v1"}, "", "is needed"},
		"no host":              {providers.Settings{APIKey: key, BaseURL: "https:///v1"}, "", "is needed"},
		"query":                {providers.Settings{APIKey: key, BaseURL: "https://h.example/v1?a=b"}, "", "query"},
		"fragment":             {providers.Settings{APIKey: key, BaseURL: "https://h.example/v1#a"}, "", "fragment"},
		"password":             {providers.Settings{APIKey: key, BaseURL: "https://me:hunter2@h.example/v1"}, "", "password"},
		"malformed":            {providers.Settings{APIKey: key, BaseURL: "https://me:hunter2@h.example:port/v1"}, "", "malformed"},
		"no key":               {providers.Settings{}, "", "CAS_OPENAI_API_KEY"},
		"no key, another name": {providers.Settings{Name: "my-llm"}, "", "CAS_MY_LLM_API_KEY"},
		"key with a line end":  {providers.Settings{APIKey: key + "\n"}, "", "copied"},
		"key with a space":     {providers.Settings{APIKey: "Bearer " + key}, "", "copied"},
		"key of other letters": {providers.Settings{APIKey: "ключ-123456"}, "", "copied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := preset(t, "openai").Open(test.settings)
			if test.host == "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("got %v; want an error that says %q", err, test.says)
				}
				for _, secret := range []string{key, "hunter2", "ключ"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the error tells %q: %v", secret, err)
					}
				}
				if p != nil {
					t.Errorf("there is a provider with the error: %v", p)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Describe(); got.Host != test.host || !strings.HasSuffix(got.Account, "@"+test.host) {
				t.Errorf("host %q, account %q; want %q", got.Host, got.Account, test.host)
			}
		})
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	account := func(s providers.Settings) string {
		p, err := preset(t, "openai").Open(s)
		if err != nil {
			t.Fatal(err)
		}
		return p.Describe().Account
	}
	usual := account(providers.Settings{APIKey: key})
	if again := account(providers.Settings{APIKey: key, BaseURL: "https://api.openai.com:443/v1/"}); again != usual {
		t.Errorf("the same account is %q and %q", usual, again)
	}
	named := account(providers.Settings{APIKey: key, Account: "team"})
	if again := account(providers.Settings{APIKey: key + "x", Account: "team"}); again != named {
		t.Errorf("the same account is %q and, with another key, %q", named, again)
	}
	if _, err := preset(t, "openai").Open(providers.Settings{APIKey: key, Account: "My Team"}); err == nil || !strings.Contains(err.Error(), "CAS_OPENAI_ACCOUNT") {
		t.Errorf("a name with a space: %v", err)
	}
	seen := map[string]bool{usual: true, named: true}
	for _, other := range []providers.Settings{
		{APIKey: key, Account: "other"}, {APIKey: key + "x"}, {APIKey: key, Name: "second"}, {APIKey: key, BaseURL: "https://h.example/v1"}, {APIKey: key, Simulated: true},
	} {
		got := account(other)
		if seen[got] {
			t.Errorf("two accounts are %q", got)
		}
		seen[got] = true
		if strings.HasPrefix(got, "simulated-") != other.Simulated {
			t.Errorf("simulated %t: %q", other.Simulated, got)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	headers := make(chan http.Header, 1)
	p := at(t, preset(t, "openai"), serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		if r.URL.Path != "/some/v1/files/a%2Fb c" || r.URL.EscapedPath() != "/some/v1/files/a%252Fb%20c" {
			t.Errorf("asked for %s", r.URL.EscapedPath())
		}
		w.Write([]byte(`{"id":"a%2Fb c","deleted":true}`))
	}))+"/some/v1/")
	if err := p.Delete(t.Context(), "a%2Fb c"); err != nil {
		t.Fatal(err)
	}
	got := <-headers
	if got.Get("Authorization") != "Bearer "+key || got.Get("User-Agent") != "casgate" || got.Get("Accept") != "application/json" {
		t.Errorf("the headers are %v", got)
	}
}

func preset(t *testing.T, name string) openaicompat.Config {
	t.Helper()
	for _, p := range openaicompat.Presets() {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("there is no preset %s", name)
	return openaicompat.Config{}
}

// TestLifetime: uploads ask for the lifetime of the settings, in the provider's way.
func TestLifetime(t *testing.T) {
	t.Parallel()
	c := preset(t, "openai")
	sim := openaisim.New(openaisim.Options{Key: key})
	p, err := c.Open(providers.Settings{APIKey: key, BaseURL: serve(t, sim) + openaisim.Prefix, Lifetime: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Upload(t.Context(), (&source{Reader: strings.NewReader("abc")}).upload(3))
	if err != nil || f.ExpiresAt.Sub(f.CreatedAt) != 24*time.Hour {
		t.Errorf("%+v, %v; want a file that expires after a day", f, err)
	}
	for _, purpose := range p.Describe().Purposes {
		if purpose.Lifetime() != 24*time.Hour {
			t.Errorf("%s lives %s", purpose.Name, purpose.Lifetime())
		}
	}
	for _, purpose := range c.Purposes {
		if purpose.Lifetime() == 24*time.Hour {
			t.Errorf("%s of the preset was changed", purpose.Name)
		}
	}
	for name, test := range map[string]struct {
		preset   string
		lifetime time.Duration
		says     string
	}{
		"too short":   {"openai", 59 * time.Minute, "1h0m0s or more"},
		"too long":    {"openai", 31 * 24 * time.Hour, "720h0m0s or less"},
		"negative":    {"openai", -time.Hour, "or more"},
		"not offered": {"mistral", time.Hour, "CAS_MISTRAL_LIFETIME"},
	} {
		if _, err := preset(t, test.preset).Open(providers.Settings{APIKey: key, Lifetime: test.lifetime}); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v; want an error that says %q", name, err, test.says)
		}
	}
}
