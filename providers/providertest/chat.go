package providertest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"casgate/providers"
)

// testChat: the URLs of the chat API are complete, without the credential, and always the
// same. Authorize adds the credential to the header alone, in place of the client's.
func testChat(t *testing.T, r *run) {
	chatter, ok := providers.Ability[providers.Chatter](r.Provider)
	if !ok {
		t.Skip("the adapter is no Chatter")
	}
	chat := chatter.Chat()
	again := chatter.Chat()
	if chat.URL != again.URL || chat.ModelsURL != again.ModelsURL || chat.URL == chat.ModelsURL {
		t.Errorf("chat at %s and %s, models at %s and %s", chat.URL, again.URL, chat.ModelsURL, again.ModelsURL)
	}
	if chat.Authorize == nil {
		t.Fatal("nothing adds the credential")
	}
	for _, address := range []string{chat.URL, chat.ModelsURL} {
		r.wantNoSecret(t, "a URL", address)
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || strings.HasSuffix(u.Path, "/") {
			t.Errorf("%q is no URL for requests: %v", address, err)
		}
		r.wantAuthorized(t, chat, address)
	}
}

// wantAuthorized checks a request before and after the credential was added.
func (r *run) wantAuthorized(t *testing.T, chat providers.ChatAPI, address string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	const clients = "Bearer token-of-the-client"
	request.Header.Set("Authorization", clients)
	chat.Authorize(request)
	if request.URL.String() != address {
		t.Errorf("the URL became %s", request.URL)
	}
	if request.Header.Get("Authorization") == clients || len(request.Header.Values("Authorization")) > 1 {
		t.Error("the client's credential would be sent")
	}
}

// testChatWithCopies: chat takes what the adapter makes of a copy, and the model gets the
// bytes of the upload.
func testChatWithCopies(t *testing.T, r *run) {
	chatter, ok := providers.Ability[providers.Chatter](r.Provider)
	if !ok {
		t.Skip("the adapter is no Chatter")
	}
	transport := &http.Transport{DisableKeepAlives: true}
	call := func(method, address, body string) string {
		return callChat(t, transport, chatter.Chat(), method, address, body)
	}
	var models struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	list := call(http.MethodGet, chatter.Chat().ModelsURL, "")
	if err := json.Unmarshal([]byte(list), &models); err != nil || len(models.Data) == 0 {
		t.Fatalf("the models are %s: %v", list, err)
	}
	for _, p := range r.description.Purposes {
		extension := extensionOf(p)
		c := fitting(extension)
		f, err := r.Upload(t.Context(), c.upload(p, rand.Text()+extension))
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range r.References(mediaType(extension), extension) {
			if kind.Request != providers.RequestChat || kind.Needs != providers.NeedCopy || kind.Purpose != p.Name {
				continue
			}
			value, err := r.Reference(kind, providers.Material{FileID: f.ID, MediaType: mediaType(extension)})
			if err != nil {
				t.Fatal(err)
			}
			messages := fmt.Sprintf(`{"role":"user","content":[%s,{"type":"text","text":"?"}]}`, value)
			if kind.Place == providers.PlaceMessage {
				messages = string(value) + `,{"role":"user","content":"?"}`
			}
			answer := call(http.MethodPost, chatter.Chat().URL, fmt.Sprintf(`{"model":%q,"messages":[%s]}`, models.Data[0].ID, messages))
			if !strings.Contains(answer, c.digest(t).String()) {
				t.Errorf("a chat with the %s of %s: %s", kind.Name, p.Name, answer)
			}
		}
	}
}

// callChat makes a request with the credential, and returns the body of the answer.
func callChat(t *testing.T, transport http.RoundTripper, chat providers.ChatAPI, method, address, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	chat.Authorize(request)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s, %v", method, address, response.StatusCode, answer, err)
	}
	return string(answer)
}
