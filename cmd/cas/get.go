package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// getCmd fetches a blob.
type getCmd struct {
	settings.Client

	Blob   blobRef `arg:"" name:"digest|url" help:"Digest, hash URL or signed URL. A signed URL needs no token."`
	Output string  `short:"o" placeholder:"FILE" help:"Where to: a file, a folder (for a file of the blob's own name), or - for standard output. If empty: standard output unless that is a terminal, else a file of the blob's own name."`
	Force  bool    `help:"Replace the file if there is one."`
	Quiet  bool    `short:"q" help:"Print no progress and no notes, only errors."`
}

// Help is what --help adds.
func (getCmd) Help() string {
	return `The bytes are verified. A file gets its name only once they were found right, and one that has that name already is left alone without --force. What came of a download that was interrupted is kept beside the file, with .partial at the end of its name, and the same command goes on from there.

On standard output the last bytes are withheld until all were found right; the exit code says whether they were.`
}

// stdoutPath stands for standard output.
const stdoutPath = "-"

// Run fetches the blob.
func (c *getCmd) Run(ctx context.Context, std terminal.Streams) error {
	from, err := c.origin()
	if err != nil {
		return err
	}
	defer from.gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	if c.isToStdout(std) {
		err = c.toStdout(ctx, from, shown)
	} else {
		err = c.toFile(ctx, from, shown)
	}
	if errors.Is(err, client.ErrUnauthenticated) && from.elsewhere {
		return fmt.Errorf("%w; no token was sent, since %s is not the gateway of CAS_URL; set that, or give the digest alone", err, from.gateway.BaseURL())
	}
	return advise(err)
}

// isToStdout reports whether the bytes go to standard output.
func (c *getCmd) isToStdout(std terminal.Streams) bool {
	return c.Output == stdoutPath || c.Output == "" && !terminal.IsTerminal(std.Out)
}

// origin is where a blob is fetched from.
type origin struct {
	gateway *client.Client
	digest  cas.Digest
	options client.GetOptions
	// file is the id of the file by which the blob is fetched; empty where it is fetched
	// by the digest, which otherwise the first answer tells.
	file string
	// elsewhere: the gateway isn't that of CAS_URL, so it gets no token.
	elsewhere bool
}

// origin finds out where to fetch from. A token goes to no gateway but that of
// CAS_URL, whatever URL is given.
func (c *getCmd) origin() (*origin, error) {
	o := &origin{digest: c.Blob.Digest, options: client.GetOptions{Signature: c.Blob.Signature}}
	var err error
	if c.Blob.Signature == nil {
		if o.gateway, err = c.Connect(); err != nil {
			return nil, err
		}
		if c.Blob.Base == "" || c.Blob.Base == o.gateway.BaseURL() {
			return o, nil
		}
		o.gateway.Close()
	}
	o.elsewhere = true
	if o.gateway, err = settings.ClientOf(c.Blob.Base, client.Options{}); err != nil {
		return nil, err
	}
	return o, nil
}

// stat asks for size and name. Where it is refused, it asks the way that is told
// why: an answer to HEAD has no body.
func (o *origin) stat(ctx context.Context) (client.Info, error) {
	if o.file == "" {
		info, err := o.gateway.Stat(ctx, o.digest, o.options)
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Problem.Retryable {
			return info, err
		}
	}
	content, err := o.open(ctx, 0)
	if err != nil {
		return client.Info{}, err
	}
	return content.Info, content.Body.Close()
}

// open opens the bytes from an offset on.
func (o *origin) open(ctx context.Context, offset int64) (content *client.Content, err error) {
	options := o.options
	options.Offset = offset
	if o.file == "" {
		return o.gateway.Get(ctx, o.digest, options)
	}
	if content, err = o.gateway.FileContent(ctx, o.file, offset); err == nil {
		o.digest = content.Digest
	}
	return content, err
}

// explain finds out whether a transfer broke off because the gateway found its
// own bytes wrong: it then cuts the connection and marks the blob suspect.
func (o *origin) explain(ctx context.Context, err error) error {
	if !errors.Is(err, client.ErrUnreachable) || o.elsewhere {
		return err
	}
	meta, metaErr := o.gateway.Meta(ctx, o.digest)
	if metaErr == nil && meta.State == cas.StateSuspect {
		return fmt.Errorf("%w: the gateway found its bytes of %s wrong, and broke off; uploading the blob again mends it", cas.ErrObjectCorrupt, o.digest)
	}
	return err
}

func (c *getCmd) toStdout(ctx context.Context, from *origin, shown *terminal.Progress) error {
	content, err := from.open(ctx, 0)
	if err != nil {
		return err
	}
	body := content.Body
	if !terminal.IsTerminal(shown.Streams().Out) {
		body = shown.Reader(body, terminal.Transfer{Verb: "fetching", Name: from.digest.Short(), Size: content.Size})
	}
	defer body.Close()
	if _, err := io.Copy(shown.Streams().Out, body); err != nil {
		return from.explain(ctx, err)
	}
	return nil
}

func (c *getCmd) toFile(ctx context.Context, from *origin, shown *terminal.Progress) error {
	info, err := from.stat(ctx)
	if err != nil {
		return err
	}
	path, err := c.outputPath(info.Digest.String(), info.Name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil && !c.Force {
		return existsError(path)
	}
	d := &download{origin: from, info: info, path: path, force: c.Force, shown: shown}
	if err := d.run(ctx); err != nil {
		return err
	}
	shown.Note("%-13s  %9s  %s", "fetched", terminal.Size(info.Size), terminal.Printable(path))
	return nil
}

func existsError(path string) error {
	return fmt.Errorf("%s exists already; --force replaces it, -o FILE gives another name", terminal.Printable(path))
}

// outputPath returns the file to write, for something that has this name.
func (c *getCmd) outputPath(what, name string) (string, error) {
	folder := ""
	if c.Output != "" {
		stat, err := os.Stat(c.Output)
		isFolder := err == nil && stat.IsDir()
		if !isFolder && !strings.HasSuffix(c.Output, string(filepath.Separator)) {
			return c.Output, nil
		}
		folder = c.Output
	}
	// The name comes from whoever uploaded the blob: it must not lead elsewhere.
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", exit.Usagef("%s has no name to save it under; give one with -o FILE", what)
	}
	return filepath.Join(folder, name), nil
}
