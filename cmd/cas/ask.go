package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/client"
)

// askCmd asks a model.
type askCmd struct {
	settings.Client

	Question string             `arg:"" name:"question" help:"The question, or - to read it from standard input."`
	Files    []argument.Content `arg:"" optional:"" name:"blob|file" help:"What the question is about: local files (stored first), ids of files, digests, or hash URLs of this gateway."`
	Model    string             `required:"" placeholder:"MODEL" help:"The model, with its provider, such as kimi/kimi-k2.6."`
	System   string             `placeholder:"TEXT" help:"Instructions that come before the question."`
	Expires  time.Duration      `default:"720h" placeholder:"DURATION" help:"Time after which the names of the local files are deleted at the gateway."`
	JSON     bool               `name:"json" help:"Print the whole answer as one line of JSON, once it is complete."`
	Quiet    bool               `short:"q" help:"Print no progress and no notes, only the answer and errors."`
}

// Help returns the text that --help adds.
func (askCmd) Help() string {
	return `Standard output has the model's answer, as it comes. Local files are stored first, as by cas file put: the gateway is sent no bytes that it has, and the provider gets a copy only if it has none.

The token needs the scope chat; read for files and blobs; and write for local files.`
}

// Run asks the model.
func (c *askCmd) Run(ctx context.Context, std terminal.Streams) error {
	if c.Expires < cas.MinFileLife || c.Expires > cas.MaxFileLife {
		return exit.Usagef("--expires must be between %v and %v", cas.MinFileLife, cas.MaxFileLife)
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	body, err := c.request(ctx, gateway, shown)
	if err != nil {
		return err
	}
	done := shown.Waiting("asking", c.Model)
	answer, err := gateway.Chat(ctx, body)
	done()
	if e, ok := errors.AsType[*client.Error](err); ok && errors.Is(err, client.ErrProvider) && e.Problem.Status == http.StatusNotFound {
		return exit.With(exit.NotFound, err) // the model, at the provider
	}
	if errors.Is(err, client.ErrProvider) {
		return err
	}
	if err != nil {
		return report.AdviseCopy(err)
	}
	defer answer.Close()
	shown.Close() // no bar may stand between the pieces of the answer
	show := printTexts
	if c.JSON {
		show = printWhole
	}
	err = show(std.Out, answer)
	if reason := answer.CutReason(); err == nil && reason != "" {
		shown.Note("the answer is not whole: " + reason)
	}
	if errors.Is(err, client.ErrChatBroke) && ctx.Err() == nil {
		return exit.With(exit.Unavailable, err)
	}
	return err
}

// request stores the local files, and returns the body of the chat.
func (c *askCmd) request(ctx context.Context, gateway *client.Client, shown *terminal.Progress) ([]byte, error) {
	question := c.Question
	if question == argument.StdinPath {
		text, err := io.ReadAll(terminal.ReaderUntil(ctx, shown.Streams().In))
		if err != nil {
			return nil, err
		}
		question = string(text)
	}
	if strings.TrimSpace(question) == "" {
		return nil, exit.Usagef("the question is empty")
	}
	q := client.Question{Model: c.Model, System: c.System, Text: question, Whole: c.JSON}
	for _, content := range c.Files {
		id, err := c.fileID(ctx, gateway, shown, content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", terminal.Printable(nameOf(content)), err)
		}
		q.Files = append(q.Files, id)
	}
	return q.Body()
}

func nameOf(content argument.Content) string {
	if content.Path != "" {
		return content.Path
	}
	return content.Stored.String()
}

// fileID returns the id that a chat names the content by. It stores a local file first.
func (c *askCmd) fileID(ctx context.Context, gateway *client.Client, shown *terminal.Progress, content argument.Content) (string, error) {
	switch {
	case content.Path == argument.StdinPath:
		return "", exit.Usagef("standard input has no name; store it with cas file put - --name NAME, and give its id")
	case content.Path == "" && content.Stored.File != "":
		return string(content.Stored.File), nil
	case content.Path == "":
		digest, err := content.Stored.Blob.DigestAt(ctx, gateway)
		return digest.String(), err
	}
	item := transfer.LocalItem(content.Path)
	if item.Err != nil {
		return "", item.Err
	}
	put := &filePut{Item: item}
	store := filePutCmd{Purpose: "user_data", Expires: c.Expires}
	if err := store.send(ctx, gateway, shown, put); err != nil {
		return "", transfer.WithoutPath(err)
	}
	return put.file.ID, nil
}

// printWhole prints the whole answer as one line of JSON.
func printWhole(out io.Writer, answer *client.ChatAnswer) error {
	object, err := answer.JSON()
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, object); err != nil {
		return err
	}
	line.WriteByte('\n')
	_, err = line.WriteTo(out)
	return err
}

// printTexts prints the text of the answer as it comes, and ends its last line. On a
// terminal it leaves out control characters, which a document could have made the model
// say.
func printTexts(out io.Writer, answer *client.ChatAnswer) error {
	last := ""
	for text, err := range answer.Texts() {
		if err != nil {
			if last != "" {
				// The error is what counts.
				_, _ = io.WriteString(out, "\n")
			}
			return err
		}
		if terminal.IsTerminal(out) {
			text = terminal.WithoutControls(text)
		}
		if text == "" {
			continue
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
		last = text
	}
	if last == "" {
		return errors.New("the model answered without a text")
	}
	if strings.HasSuffix(last, "\n") {
		return nil
	}
	_, err := io.WriteString(out, "\n")
	return err
}
