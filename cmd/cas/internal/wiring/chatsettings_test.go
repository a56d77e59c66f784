package wiring

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/settings"
	"casgate/providers"
	"casgate/providers/replicator"
)

// TestChatSettings: CAS_<NAME>_CHAT_URL and the limits of chat reach the account, and wrong
// ones are errors that name them.
func TestChatSettings(t *testing.T) {
	const coding = "https://open.bigmodel.cn/api/coding/paas/v4/chat/completions"
	t.Setenv("CAS_GLM_API_KEY", "id.secret0123456789")
	t.Setenv("CAS_GLM_CHAT_URL", coding)
	t.Setenv("CAS_GLM_CHAT_CONCURRENCY", "1")
	all, err := openAccounts(settings.Providers{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := all.open[0].guarded(nil, replicator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	chatter, ok := providers.Ability[providers.Chatter](guarded)
	if !ok || chatter.Chat().URL != coding {
		t.Fatalf("%t; want chat at %s", ok, coding)
	}
	if _, err := chatter.Chat().Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := chatter.Chat().Begin(over); err == nil {
		t.Error("a second chat began; want one at a time")
	}
	for setting, value := range map[string]string{"CHAT_URL": "http://h.example/chat", "CHAT_CONCURRENCY": "none", "CHAT_PER_MINUTE": "0"} {
		t.Run(setting, func(t *testing.T) {
			t.Setenv("CAS_GLM_"+setting, value)
			all, err := openAccounts(settings.Providers{}, zerolog.Nop())
			if err == nil {
				_, err = all.open[0].guarded(nil, replicator.Options{})
			}
			if err == nil || !strings.Contains(err.Error(), "CAS_GLM_"+setting) {
				t.Errorf("got %v; want an error that names CAS_GLM_%s", err, setting)
			}
		})
	}
	t.Setenv("CAS_GEMINI_API_KEY", "key0123456789")
	t.Setenv("CAS_GEMINI_CHAT_URL", "https://h.example/v1/chat/completions")
	if _, err := openAccounts(settings.Providers{}, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "CAS_GEMINI_CHAT_URL") {
		t.Errorf("got %v; want an error, since casgate has no chat with gemini", err)
	}
}

// TestAliasesOfModels: a file of aliases that can't be what its author means is an error.
func TestAliasesOfModels(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"aliases":{"a":"kimi/k2","b":"glm/g/1"}}`: "",
		`{"aliases":{"a":"kimi/k2","a":"kimi/k1"}}`: "duplicate",
		`{"aliases":{"a":"k2"}}`:                    "provider/model",
		`{"alias":{}}`:                              "alias",
		`{"aliases":{}} {}`:                         "JSON",
		`no`:                                        "JSON",
	} {
		path := filepath.Join(t.TempDir(), "models.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		aliases, err := readAliases(path)
		switch {
		case want == "":
			if err != nil || aliases["b"] != "glm/g/1" {
				t.Errorf("%s: %v, %v", text, aliases, err)
			}
		case err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "CAS_MODELS_FILE"):
			t.Errorf("%s: %v; want an error with %q", text, err, want)
		}
	}
}
