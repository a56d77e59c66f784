package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// fileGetCmd fetches a file's bytes.
type fileGetCmd struct {
	settings.Client

	File   fileID `arg:"" name:"id" help:"Id of a file."`
	From   string `placeholder:"PROVIDER" help:"Fetch what this provider gives back for its copy, rather than the gateway's own bytes."`
	Output string `short:"o" placeholder:"FILE" help:"Where to: a file, a folder (for a file of the file's own name), or - for standard output. If empty: standard output unless that is a terminal, else a file of the file's own name."`
	Force  bool   `help:"Replace the file if there is one."`
	Quiet  bool   `short:"q" help:"Print no progress and no notes, only errors."`
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
	get := &getCmd{Output: c.Output, Force: c.Force}
	switch {
	case c.From != "":
		err = c.fromProvider(ctx, gateway, get, shown)
	case get.isToStdout(std):
		err = get.toStdout(ctx, &origin{gateway: gateway, file: string(c.File)}, shown)
	default:
		err = get.toFile(ctx, &origin{gateway: gateway, file: string(c.File)}, shown)
	}
	return adviseFile(err)
}

// fromProvider fetches what a provider gives back.
func (c *fileGetCmd) fromProvider(ctx context.Context, gateway *client.Client, get *getCmd, shown *terminal.Progress) error {
	content, err := gateway.FileCopyContent(ctx, string(c.File), c.From, client.CopyOptions{})
	if err != nil {
		return err
	}
	if get.isToStdout(shown.Streams()) {
		defer content.Body.Close()
		_, err := io.Copy(shown.Streams().Out, content.Body)
		return err
	}
	body := shown.Reader(content.Body, terminal.Transfer{Verb: "fetching", Name: string(c.File), Size: -1})
	defer body.Close()
	path, err := get.outputPath(string(c.File), content.Name)
	if err != nil {
		return err
	}
	n, err := writeWhole(path, body, c.Force)
	if err != nil {
		return err
	}
	shown.Note("%-13s  %9s  %s, as %s gave it, and unverified", "fetched", terminal.Size(n), terminal.Printable(path), c.From)
	return nil
}

// writeWhole writes what r yields to a file, which appears under its name whole, or not
// at all.
func writeWhole(path string, r io.Reader, replace bool) (n int64, err error) {
	if _, err := os.Lstat(path); err == nil && !replace {
		return 0, existsError(path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial")
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(file, r)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = place(file.Name(), path, replace)
	}
	if err != nil {
		if removeErr := os.Remove(file.Name()); removeErr != nil {
			return 0, fmt.Errorf("%w (and its partial file is left behind: %w)", err, removeErr)
		}
	}
	return n, err
}
