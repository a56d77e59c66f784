package chatapi

import (
	"encoding/base64"
	"testing"

	"casgate/cas"
	"casgate/gateway/chatbody"
	"casgate/providers"
	"casgate/providers/guard"
	"casgate/providers/kimi"
	"casgate/providers/openaicompat"
)

// TestTextsThatCameBefore: a text stands for the same bytes each time, and the same
// characters in another encoding stand for others.
func TestTextsThatCameBefore(t *testing.T) {
	t.Parallel()
	taken, err := newTakenIn()
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("some bytes")
	encoded := []byte(base64.StdEncoding.EncodeToString(content))
	for range 2 {
		if d, err := taken.decode(&inline{encoded: encoded, isBase64: true}); err != nil || d.digest != cas.DigestOf(content) || d.length != int64(len(content)) {
			t.Errorf("as base64: %v, %v", d, err)
		}
		if d, err := taken.decode(&inline{encoded: encoded}); err != nil || d.digest == cas.DigestOf(content) || d.length < int64(len(content)) {
			t.Errorf("percent-encoded: %v, %v", d, err)
		}
		if _, err := taken.decode(&inline{encoded: []byte("no base64!"), isBase64: true}); err == nil {
			t.Error("malformed base64 was decoded")
		}
	}
	if len(taken.texts) != 2 {
		t.Errorf("%d texts are known; want the two that are right", len(taken.texts))
	}
}

// TestPartsThatStay: bytes stay in a request only where the provider takes them so.
func TestPartsThatStay(t *testing.T) {
	t.Parallel()
	settings := providers.Settings{APIKey: "sk-0123456789", BaseURL: "http://127.0.0.1:1/v1"}
	kimiAccount, err := kimi.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	settings.Name = "openai"
	openAI, err := openaicompat.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		account    providers.Provider
		part, data string
		name       string
		stays      bool
	}{
		{kimiAccount, "image_url", "data:image/png;base64,QQ==", "", true},
		{kimiAccount, "image_url", "data:image/bmp;base64,QQ==", "", false},
		{kimiAccount, "image_url", "data:text/plain;base64,QQ==", "", false},
		{kimiAccount, "image_url", "data:application/pdf;base64,QQ==", "", false},
		{kimiAccount, "video_url", "data:video/mp4;base64,QQ==", "", true},
		{kimiAccount, "video_url", "data:image/png;base64,QQ==", "", false},
		{kimiAccount, "file", "data:application/pdf;base64,QQ==", "a.pdf", false},
		{openAI, "image_url", "data:image/jpeg;base64,QQ==", "", true},
		{openAI, "file", "data:application/pdf;base64,QQ==", "a.pdf", true},
		{openAI, "file", "QQ==", "a.pdf", false},
		{openAI, "file", "data:text/plain;base64,QQ==", "a.txt", false},
	} {
		chatter, ok := providers.Ability[providers.Chatter](test.account)
		if !ok {
			t.Fatal("no chats")
		}
		account := guard.New(test.account, guard.Options{})
		x := &exchange{to: target{chat: chatter.Chat(), account: account}}
		in := parseInline([]byte(test.data))
		in.name = test.name
		if got := x.takesInline(chatbody.Part{Type: test.part}, in); got != test.stays {
			t.Errorf("%s, %s: stays %t", test.part, test.data, got)
		}
	}
}
