package openaicompat

import (
	"cmp"
	"fmt"
	"strings"

	"casgate/providers"
)

// chatPath is the path of chats below a base URL. The list of models is beside it.
const (
	chatPath   = "/chat/completions"
	modelsPath = "/models"
)

// ChatAPI returns the account's chat API. Adapters of providers with chat in OpenAI's
// shape build providers.Chatter on it.
func (c *Client) ChatAPI() providers.ChatAPI {
	return providers.ChatAPI{URL: c.chatURL, ModelsURL: modelsURL(c.chatURL, c.base), Inline: c.api.Inline, Authorize: c.dialect.Authorize}
}

// modelsURL returns the URL of the list of models: beside the chat, if its path is the
// usual one, and otherwise below the base URL.
func modelsURL(chatURL, base string) string {
	if beside, ok := strings.CutSuffix(chatURL, chatPath); ok {
		return beside + modelsPath
	}
	return base + modelsPath
}

// parseChatURL returns the URL of chats. Empty means the usual path below the base URL.
func parseChatURL(text, base string) (string, error) {
	u, err := parseBase(cmp.Or(text, base+chatPath))
	if err != nil {
		return "", err
	}
	if u.Path == "" || u.Path == "/" {
		return "", fmt.Errorf("is %q; the whole URL is needed, such as https://api.example.com/v1%s", text, chatPath)
	}
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// Chat implements providers.Chatter.
func (p *Provider) Chat() providers.ChatAPI { return p.ChatAPI() }
