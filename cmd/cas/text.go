package main

import (
	"context"
	"io"
	"os"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/client"
)

// textCmd prints the text that a provider extracts from a file.
type textCmd struct {
	settings.Client

	Blob     argument.Content `arg:"" name:"blob|file" help:"Digest, hash URL of this gateway, id of a file, local file (stored first, as by put), or - for standard input."`
	Provider string           `placeholder:"PROVIDER" help:"Provider that extracts the text; the gateway chooses if empty."`
	Name     string           `placeholder:"NAME" help:"Name of the file at the provider, whose extension says how it is read; the file's or the blob's own if empty."`
	Retry    bool             `help:"Try the copy again if it has failed permanently."`
	Output   string           `short:"o" placeholder:"FILE" help:"Output file, instead of standard output."`
	Force    bool             `help:"Replace an existing file."`
	JSON     bool             `name:"json" help:"Print a JSON object with the text."`
	Quiet    bool             `short:"q" help:"Print no progress and no notes, only the text and errors."`
}

// Help returns the text that --help adds.
func (textCmd) Help() string {
	return `A text is extracted once; the gateway keeps it. It is verified on its way: the file gets its name only after that. An existing file is not replaced without --force.`
}

// Run prints the text, or writes it to a file.
func (c *textCmd) Run(ctx context.Context, std terminal.Streams) error {
	toFile := c.Output != "" && c.Output != argument.StdoutPath
	if toFile && !c.Force {
		if _, err := os.Lstat(c.Output); err == nil {
			return transfer.ExistsError(c.Output)
		}
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	uploader := &transfer.Uploader{Gateway: gateway, Parallel: 1, Shown: shown}
	of, name, err := uploader.StoreArgument(ctx, c.Blob, c.Name, c.Provider)
	if err != nil {
		return report.AdviseCopy(err)
	}
	text, err := c.extract(ctx, of, name, shown)
	if err != nil {
		return report.AdviseCopy(err)
	}
	defer text.Body.Close()
	switch {
	case toFile:
	case c.JSON:
		return printText(shown, text)
	default:
		_, err = io.Copy(shown.Stdout(), text.Body)
		return err
	}
	// The text is a blob like any other.
	from := &transfer.Origin{Gateway: gateway, Digest: text.Digest}
	file := &transfer.Download{Origin: from, Info: text.Info, Path: c.Output, Force: c.Force, Shown: shown}
	if err := file.Run(ctx); err != nil {
		return report.Advise(err)
	}
	shown.Note("%-13s  %9s  %s", "extracted", terminal.Size(text.Size), terminal.Printable(c.Output))
	if c.JSON {
		return terminal.PrintJSON(shown.Stdout(), textJSON{Digest: text.Digest, Size: text.Size, Path: c.Output})
	}
	return nil
}

// textJSON is the JSON of an extracted text.
type textJSON struct {
	Digest cas.Digest `json:"digest"` // the text is a blob, too
	Size   int64      `json:"size"`
	Path   string     `json:"path,omitempty"`
	Text   string     `json:"text,omitempty"` // without -o
}

// printText prints a text within JSON.
func printText(shown *terminal.Progress, text *client.Content) error {
	content, err := io.ReadAll(text.Body)
	if err != nil {
		return err
	}
	return terminal.PrintJSON(shown.Stdout(), textJSON{Digest: text.Digest, Size: text.Size, Text: string(content)})
}

func (c *textCmd) extract(ctx context.Context, of transfer.Owner, name string, shown *terminal.Progress) (*client.Content, error) {
	defer shown.Waiting("waiting for the text of", of.String())()
	return of.Text(ctx, client.TextOptions{Provider: c.Provider, Name: name, Retry: c.Retry})
}
