package openaicompat_test

import (
	"net/http"
	"strings"
	"testing"

	"casgate/providers"
	"casgate/providers/anthropic"
	"casgate/providers/glm"
	"casgate/providers/kimi"
	"casgate/providers/openaicompat"
)

// chatOf returns the chat API of a provider.
func chatOf(t *testing.T, p providers.Provider, err error) providers.ChatAPI {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	chatter, ok := providers.Ability[providers.Chatter](p)
	if !ok {
		t.Fatalf("%s has no chat", p.Describe().Provider)
	}
	return chatter.Chat()
}

// Every provider with an OpenAI-like API has chat at the usual path.
func TestChatURLs(t *testing.T) {
	t.Parallel()
	openers := map[string]func(providers.Settings) (providers.Provider, error){"https://api.moonshot.cn/v1": kimi.Open, "https://open.bigmodel.cn/api/paas/v4": glm.Open}
	for _, preset := range openaicompat.Presets() {
		openers[preset.BaseURL] = preset.Open
	}
	for base, open := range openers {
		p, err := open(providers.Settings{APIKey: "id.secret"})
		chat := chatOf(t, p, err)
		if chat.URL != base+"/chat/completions" || chat.ModelsURL != base+"/models" {
			t.Errorf("chat at %s, models at %s; want them below %s", chat.URL, chat.ModelsURL, base)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, chat.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer of-the-client")
		if chat.Authorize(r); r.Header.Get("Authorization") != "Bearer id.secret" {
			t.Errorf("%s: the header is %q", base, r.Header.Get("Authorization"))
		}
	}
}

func TestChatURLSetting(t *testing.T) {
	t.Parallel()
	const coding = "https://open.bigmodel.cn/api/coding/paas/v4"
	for text, want := range map[string][2]string{
		coding + "/chat/completions":           {coding + "/chat/completions", coding + "/models"},
		coding + "/chat/completions/":          {coding + "/chat/completions", coding + "/models"},
		"https://h.example/chat":               {"https://h.example/chat", "https://open.bigmodel.cn/api/paas/v4/models"},
		"http://127.0.0.1:99/chat/completions": {"http://127.0.0.1:99/chat/completions", "http://127.0.0.1:99/models"},
	} {
		p, err := glm.Open(providers.Settings{APIKey: key, ChatURL: text})
		if chat := chatOf(t, p, err); chat.URL != want[0] || chat.ModelsURL != want[1] {
			t.Errorf("%s: chat at %s, models at %s; want %v", text, chat.URL, chat.ModelsURL, want)
		}
	}
	for text, says := range map[string]string{
		"http://h.example/v1/chat/completions":                  "in the clear",
		"https://me:hunter2@h.example/v1/chat/completions":      "password",
		"https://h.example/v1/chat/completions?key=0123456789a": "query",
		"https://h.example":                                     "whole URL",
		"h.example/v1/chat/completions":                         "CAS_GLM_CHAT_URL",
	} {
		_, err := glm.Open(providers.Settings{APIKey: key, ChatURL: text})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "CAS_GLM_CHAT_URL") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want an error that says %q", text, err, says)
		}
	}
}

// A described provider may have its chat elsewhere.
func TestDescribedChatURL(t *testing.T) {
	t.Parallel()
	const description = `{"name":"my-llm","base_url":"https://files.example/v1","listing":"none","purposes":[{"name":"p"}]`
	for more, want := range map[string]string{
		"": "https://files.example/v1/chat/completions",
		`,"chat_url":"https://chat.example/v2/chat/completions"`: "https://chat.example/v2/chat/completions",
	} {
		config, err := openaicompat.Parse([]byte(description + more + "}"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := config.Open(providers.Settings{APIKey: key})
		if chat := chatOf(t, p, err); chat.URL != want {
			t.Errorf("chat at %s; want %s", chat.URL, want)
		}
	}
	if _, err := openaicompat.Parse([]byte(description + `,"chat_url":"http://chat.example/v2"}`)); err == nil || !strings.Contains(err.Error(), "chat_url") {
		t.Errorf("got %v; want an error that names chat_url", err)
	}
}

// Anthropic's API has another shape, though its adapter is built on the same client.
func TestNoChat(t *testing.T) {
	t.Parallel()
	p, err := anthropic.Open(providers.Settings{APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := providers.Ability[providers.Chatter](p); ok {
		t.Error("anthropic has chat")
	}
}

// TestPlaceOfFilesInChat: a copy at DashScope is named by a message, and one at the others
// by a part.
func TestPlaceOfFilesInChat(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]providers.Place{"qwen": providers.PlaceMessage, "openai": providers.PlacePart, "deepseek": providers.PlacePart, "mistral": providers.PlacePart, "xai": providers.PlacePart} {
		kinds := with(t, preset(t, name), nil).References("application/pdf", ".pdf")
		if kinds[0].Place != want || kinds[0].Request != providers.RequestChat || kinds[0].Needs != providers.NeedCopy {
			t.Errorf("%s: a PDF becomes %+v; want a copy as a %s", name, kinds[0], want)
		}
	}
}
