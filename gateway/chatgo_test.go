package gateway_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"

	"casgate/cas"
	"casgate/gateway/problem"
)

// chatting is a conversation by OpenAI's own client.
type chatting struct {
	*testing.T
	client   openai.Client
	model    string
	streamed bool
	messages []openai.ChatCompletionMessageParamUnion
	tools    []openai.ChatCompletionToolUnionParam
}

type chatPart = openai.ChatCompletionContentPartUnionParam

// ask adds a user's message to the conversation, and the answer.
func (c *chatting) ask(parts ...chatPart) openai.ChatCompletionMessage {
	c.Helper()
	c.messages = append(c.messages, openai.UserMessage(parts))
	return c.answer()
}

// answer adds the model's answer to the conversation.
func (c *chatting) answer() openai.ChatCompletionMessage {
	c.Helper()
	params := openai.ChatCompletionNewParams{Model: c.model, Messages: c.messages, Tools: c.tools}
	var message openai.ChatCompletionMessage
	if c.streamed {
		stream := c.client.Chat.Completions.NewStreaming(c.Context(), params)
		var all openai.ChatCompletionAccumulator
		for stream.Next() {
			if !all.AddChunk(stream.Current()) {
				c.Fatalf("%s: the chunk %s fits no other", c.model, stream.Current().RawJSON())
			}
		}
		if err := stream.Err(); err != nil {
			c.Fatalf("%s, streamed: %v", c.model, err)
		}
		message = all.Choices[0].Message
	} else {
		answer, err := c.client.Chat.Completions.New(c.Context(), params)
		if err != nil {
			c.Fatalf("%s: %v", c.model, err)
		}
		message = answer.Choices[0].Message
	}
	c.messages = append(c.messages, message.ToParam())
	return message
}

// wantSeen checks that the model got all of these bytes.
func (c *chatting) wantSeen(message openai.ChatCompletionMessage, contents ...[]byte) {
	c.Helper()
	for _, content := range contents {
		if d := cas.DigestOf(content).String(); !strings.Contains(message.Content, d) {
			c.Errorf("%s, streamed %t: the model got no %s:\n%s", c.model, c.streamed, d, message.Content)
		}
	}
}

// sdkJSON returns a part that OpenAI's client has no type for.
func sdkJSON(text string) chatPart {
	return param.Override[openai.ChatCompletionContentPartUnionParam](json.RawMessage(text))
}

func sdkFile(id string) chatPart {
	return openai.FileContentPart(openai.ChatCompletionContentPartFileFileParam{FileID: openai.String(id)})
}

func sdkImage(url string) chatPart {
	return openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: url})
}

// TestChatsOfOpenAIsGoClient: unchanged except for URL and key, it chats about files with
// models of two providers. Simulated models answer with the digests of what they got.
func TestChatsOfOpenAIsGoClient(t *testing.T) {
	p := embedded(t, t.TempDir())
	s, atKimi, _ := startChain(t, p)
	client := s.openAI()
	pdf := append([]byte("%PDF-1.7\n\x00\xff"), random(3000)...)
	picture := append([]byte("\x89PNG\r\n\x1a\n"), random(100_000)...)
	film := append([]byte("\x00\x00\x00\x18ftypmp42"), random(2000)...)
	upload := func(content []byte, name string) string {
		file, err := client.Files.New(t.Context(), openai.FileNewParams{File: openai.File(bytes.NewReader(content), name, "application/octet-stream"), Purpose: openai.FilePurposeUserData})
		if err != nil {
			t.Fatal(err)
		}
		return file.ID
	}
	pdfID, filmID, pictureID := upload(pdf, "report.pdf"), upload(film, "film.mp4"), upload(picture, "photo.png")
	hashURL := s.url + s.path(cas.DigestOf(picture))
	dataURL := "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture)
	question := openai.TextContentPart("what is it?")
	for _, model := range []string{"kimi/kimi-k2.6", "glm/glm-4.6v"} {
		for _, streamed := range []bool{false, true} {
			begin := func() *chatting { return &chatting{T: t, client: client, model: model, streamed: streamed} }
			c := begin()
			c.wantSeen(c.ask(sdkFile(pdfID), question), pdf)
			c = begin()
			c.wantSeen(c.ask(question, sdkImage(hashURL)), picture)
			c = begin()
			c.wantSeen(c.ask(sdkImage(dataURL), question), picture)
			c.wantSeen(c.ask(question), picture) // the first turn is part of the second
			c = begin()
			c.wantSeen(c.ask(sdkJSON(`{"type":"video_url","video_url":{"url":"`+s.url+s.path(cas.DigestOf(film))+`"}}`), question), film)
			c = begin()
			c.wantSeen(c.ask(sdkFile(filmID), sdkFile(pictureID), question), film, picture)

			// A file in the fifth turn, after calls of a tool.
			c = begin()
			c.tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "look"})}
			c.ask(openai.TextContentPart("hello"))
			for range 2 {
				called := c.ask(openai.TextContentPart("call the tool"))
				if len(called.ToolCalls) != 1 {
					t.Fatalf("%s, streamed %t: no call of a tool: %+v", model, streamed, called)
				}
				c.messages = append(c.messages, openai.ToolMessage("seen", called.ToolCalls[0].ID))
				c.answer()
			}
			c.ask(question)
			c.wantSeen(c.ask(sdkFile(pdfID), sdkFile(pictureID), question), pdf, picture)
		}
	}
	for _, content := range [][]byte{pdf, picture, film} {
		if n := atKimi.UploadsOf(cas.DigestOf(content)); n != 1 {
			t.Errorf("%d bytes were uploaded to kimi %d times", len(content), n)
		}
	}
}

// TestModelsAndErrorsOfChats: OpenAI's own client lists the models, and reads the errors.
func TestModelsAndErrorsOfChats(t *testing.T) {
	s, _, _ := startChain(t, embedded(t, t.TempDir()))
	client := s.openAI()
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) == 0 {
		t.Fatalf("%+v, %v", models, err)
	}
	for _, id := range []string{"kimi/kimi-k2.6", "glm/glm-4.6v"} {
		model, err := client.Models.Get(t.Context(), id)
		if err != nil || model.ID != id {
			t.Errorf("%+v, %v", model, err)
		}
	}
	ask := func(model string, parts ...chatPart) error {
		_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(parts)}})
		return err
	}
	wantAPIError(t, ask("absent/model", openai.TextContentPart("x")), 404, problem.ModelNotFound, "model")
	wantAPIError(t, ask("kimi/kimi-k2.6", openai.TextContentPart("x"), sdkFile("file-absent")), 404, problem.FileNotFound, "messages[0].content[1].file.file_id")
}
