package main

import (
	"context"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/client"
)

// fileGetCmd fetches a file's bytes.
type fileGetCmd struct {
	settings.Client

	File   argument.FileID `arg:"" name:"id" help:"Id of a file."`
	From   string          `name:"provider" aliases:"from" placeholder:"PROVIDER" help:"Fetch the bytes that this provider returns for its copy, instead of the gateway's own bytes."`
	Output string          `short:"o" placeholder:"FILE" help:"Output: a file, a folder (for a file with its own name), or - for standard output. If empty: standard output, or a file with its own name if standard output is a terminal."`
	Force  bool            `help:"Replace an existing file."`
	JSON   bool            `name:"json" help:"Print a JSON object, with the path that was written; needs an output that is not standard output."`
	Quiet  bool            `short:"q" help:"Print no progress and no notes, only errors."`
}

// Help returns the text that --help adds.
func (fileGetCmd) Help() string {
	return getCmd{}.Help() + `

With --provider, the bytes come from a provider and can't be verified: some providers change files. Such a download is not kept, and does not resume after an interruption. If a provider returns no files, the error says where else to look, and the exit code is 8.`
}

// Run fetches the bytes.
func (c *fileGetCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	output := transfer.Output{Path: c.Output, Force: c.Force, Shown: shown}
	if err := checkJSONOutput(output, c.JSON); err != nil {
		return err
	}
	result := fetchedJSON{File: string(c.File), Provider: c.From}
	if c.From == "" {
		var fetched transfer.Fetched
		fetched, err = output.Fetch(ctx, &transfer.Origin{Gateway: gateway, File: string(c.File)})
		result.take(fetched)
	} else {
		result.Path, err = c.fetchFromProvider(ctx, gateway, output)
	}
	if err != nil || !c.JSON {
		return report.AdviseFile(err)
	}
	return terminal.PrintJSON(shown.Stdout(), result)
}

// fetchFromProvider fetches the bytes that a provider returns, and returns the path of the
// output.
func (c *fileGetCmd) fetchFromProvider(ctx context.Context, gateway *client.Client, output transfer.Output) (path string, err error) {
	content, err := gateway.File(string(c.File)).CopyContent(ctx, c.From, client.CopyOptions{})
	if err != nil {
		return "", err
	}
	return output.WriteUnverified(content, string(c.File), c.From)
}
