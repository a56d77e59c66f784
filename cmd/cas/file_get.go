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
	From   string          `placeholder:"PROVIDER" help:"Fetch what this provider gives back for its copy, rather than the gateway's own bytes."`
	Output string          `short:"o" placeholder:"FILE" help:"Where to: a file, a folder (for a file of the file's own name), or - for standard output. If empty: standard output unless that is a terminal, else a file of the file's own name."`
	Force  bool            `help:"Replace the file if there is one."`
	Quiet  bool            `short:"q" help:"Print no progress and no notes, only errors."`
}

// Help is what --help adds.
func (fileGetCmd) Help() string {
	return getCmd{}.Help() + `

What comes from a provider, with --from, nobody can verify: some providers change what they get. It is not kept, and not gone on with where it was interrupted. Providers that give no files back say where else to look; the exit code is 8.`
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
	if c.From == "" {
		err = output.Fetch(ctx, &transfer.Origin{Gateway: gateway, File: string(c.File)})
	} else {
		err = c.fetchFromProvider(ctx, gateway, output)
	}
	return report.AdviseFile(err)
}

// fetchFromProvider fetches the bytes that a provider returns.
func (c *fileGetCmd) fetchFromProvider(ctx context.Context, gateway *client.Client, output transfer.Output) error {
	content, err := gateway.File(string(c.File)).CopyContent(ctx, c.From, client.CopyOptions{})
	if err != nil {
		return err
	}
	return output.WriteUnverified(content, string(c.File), c.From)
}
