package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// refCmd prints what to put into a request to a provider.
type refCmd struct {
	settings.Client

	Blob     argument.Content `arg:"" name:"blob|file" help:"Digest, hash URL of this gateway, id of a file, local file (stored first, as by put), or - for standard input."`
	Provider string           `required:"" placeholder:"PROVIDER" help:"Whose request it is for, such as kimi."`
	Kind     string           `placeholder:"KIND" help:"The kind of reference, such as image_url or file_id; the usual one for the blob if empty."`
	Purpose  string           `placeholder:"PURPOSE" help:"Only a reference by a copy of this purpose."`
	Name     string           `placeholder:"NAME" help:"Name of the file at the provider, whose extension says how it is read; the file's or the blob's own if empty."`
	Retry    bool             `help:"Try the copy again if it has failed permanently."`
	JSON     bool             `name:"json" help:"Print all details of the reference as one line of JSON."`
	Quiet    bool             `short:"q" help:"Print no progress and no notes, only the reference and errors."`
}

// Help returns the text that --help adds.
func (refCmd) Help() string {
	return `If the reference needs a copy, the copy is made first. Standard output has only the JSON to paste; standard error says where to paste it and how long it is valid.`
}

// Run prints the reference.
func (c *refCmd) Run(ctx context.Context, std terminal.Streams) error {
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
	done := shown.Waiting("copying", of.String()+" → "+c.Provider)
	ref, err := of.Reference(ctx, c.Provider, client.ReferenceOptions{
		CopyOptions: client.CopyOptions{Purpose: c.Purpose, Name: name}, Kind: c.Kind, Retry: c.Retry,
	})
	done()
	if err != nil {
		return report.AdviseCopy(err)
	}
	c.note(shown, ref)
	if c.JSON {
		return terminal.PrintJSON(shown.Stdout(), ref)
	}
	pretty, err := prettyJSON(ref.Value)
	if err != nil {
		return fmt.Errorf("%s answered with a reference that is no JSON: %w", gateway.BaseURL(), err)
	}
	_, err = fmt.Fprintf(shown.Stdout(), "%s\n", pretty)
	return err
}

// note prints notes about a reference.
func (c *refCmd) note(shown *terminal.Progress, ref api.Reference) {
	if ref.Where != "" {
		shown.Note("%s: %s", ref.Kind, ref.Where)
	}
	if ref.ExpiresAt != nil {
		shown.Note("it works until %s UTC", terminal.Time(*ref.ExpiresAt, ""))
	}
	if ref.Warning != "" {
		shown.Note("%s", ref.Warning)
	}
	if ref.Simulated {
		report.Simulated(shown, []string{ref.Provider})
	}
}

// escapedHTML finds backslashes in JSON, each with what follows.
var escapedHTML = regexp.MustCompile(`\\(u0026|u003c|u003e|.)`)

// prettyJSON indents JSON, and shows as themselves the characters that Go escapes
// for HTML's sake.
func prettyJSON(raw json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, err
	}
	plain := strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">")
	return escapedHTML.ReplaceAllFunc(b.Bytes(), func(escape []byte) []byte {
		return []byte(plain.Replace(string(escape)))
	}), nil
}
