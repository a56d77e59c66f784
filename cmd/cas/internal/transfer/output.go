package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// Origin is where a blob is fetched from.
type Origin struct {
	Gateway *client.Client
	Digest  cas.Digest
	Options client.OpenOptions
	// File is the id of the file to fetch; the first answer then has the digest. Empty:
	// the blob is fetched by its digest.
	File string
	// Elsewhere: the gateway is not that of CAS_URL, and gets no token.
	Elsewhere bool

	redirected bool // the last read was redirected to the object store
}

// readThroughGateway reports whether a failed read can be tried again where it may succeed: it was
// redirected to the object store. Further reads then go through the gateway.
func (o *Origin) readThroughGateway(err error) bool {
	if !o.redirected || !errors.Is(err, client.ErrUnreachable) && !errors.Is(err, cas.ErrDigestMismatch) {
		return false
	}
	o.Options.NoRedirect, o.redirected = true, false
	return true
}

// stat asks for size and name. An answer to HEAD has no body; if the gateway refuses it,
// stat asks again with GET, whose answer has the reason.
func (o *Origin) stat(ctx context.Context) (client.Info, error) {
	if o.File == "" {
		info, err := o.Gateway.Blob(o.Digest).Stat(ctx, o.Options)
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
func (o *Origin) open(ctx context.Context, offset int64) (content *client.Content, err error) {
	options := o.Options
	options.Offset = offset
	if o.File == "" {
		content, err = o.Gateway.Blob(o.Digest).Open(ctx, options)
		o.redirected = err == nil && content.Redirected
		return content, err
	}
	if content, err = o.Gateway.File(o.File).Open(ctx, offset); err == nil {
		o.Digest = content.Digest
	}
	return content, err
}

// explain finds out whether the gateway broke a transfer off because its own bytes are
// wrong: it then cuts the connection and marks the blob suspect.
func (o *Origin) explain(ctx context.Context, err error) error {
	if !errors.Is(err, client.ErrUnreachable) || o.Elsewhere {
		return err
	}
	meta, metaErr := o.Gateway.Blob(o.Digest).Meta(ctx)
	if metaErr == nil && meta.State == cas.StateSuspect {
		return fmt.Errorf("%w: the gateway found that its bytes of %s are wrong, and broke off; upload the blob again to repair it", cas.ErrObjectCorrupt, o.Digest)
	}
	return err
}

// Output is where a command writes what it fetched.
type Output struct {
	Path  string // a file, a folder, "-" for standard output, or empty
	Force bool   // replace an existing file
	Shown *terminal.Progress
	// Names are the names of other blobs that the same command fetches; nil: there are none.
	Names   *OutputNames
	NoNotes bool // no note of each file that was written
}

// OutputNames are the files that one command writes. No two blobs get the same.
type OutputNames struct {
	mu    sync.Mutex
	taken map[string]bool // paths
}

// take takes a path for a blob. It may be called on nil.
func (n *OutputNames) take(path string) error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.taken[path] {
		return fmt.Errorf("another blob of this command is written to %s; fetch this one alone, with -o FILE", terminal.Printable(path))
	}
	if n.taken == nil {
		n.taken = make(map[string]bool)
	}
	n.taken[path] = true
	return nil
}

// Fetched is a blob that was written, and where.
type Fetched struct {
	client.Info
	Path string // empty: standard output
}

// Fetch writes the bytes of a blob.
func (o Output) Fetch(ctx context.Context, from *Origin) (Fetched, error) {
	if o.IsStdout() {
		return o.fetchToStdout(ctx, from)
	}
	return o.fetchToFile(ctx, from)
}

// IsStdout reports whether the bytes go to standard output.
func (o Output) IsStdout() bool {
	return o.Path == argument.StdoutPath || o.Path == "" && !terminal.IsTerminal(o.Shown.Streams().Out)
}

func (o Output) fetchToStdout(ctx context.Context, from *Origin) (Fetched, error) {
	out := o.Shown.Streams().Out
	body := &stream{rest: rest{ctx: ctx, from: from, bars: o.Shown}, notes: o.Shown}
	if terminal.IsTerminal(out) {
		body.bars = nil
	}
	defer body.Close()
	info, err := body.start()
	if err != nil {
		return Fetched{}, err
	}
	if _, err := io.Copy(out, cas.NewVerifyingReader(body, info.Digest, info.Size)); err != nil {
		if body.offset > 0 && errors.Is(err, client.ErrUnreachable) {
			err = fmt.Errorf("%w; only %s of %s were written", err, terminal.Size(body.offset), terminal.Size(info.Size))
		}
		return Fetched{}, err
	}
	return Fetched{Info: info}, nil
}

func (o Output) fetchToFile(ctx context.Context, from *Origin) (Fetched, error) {
	info, err := from.stat(ctx)
	if err != nil {
		return Fetched{}, err
	}
	path, err := o.filePath(info.Digest.String(), info.Name)
	if err != nil {
		return Fetched{}, err
	}
	if err := o.Names.take(path); err != nil {
		return Fetched{}, err
	}
	if err := checkPlace(path); err != nil {
		return Fetched{}, err
	}
	if _, err := os.Lstat(path); err == nil && !o.Force {
		return Fetched{}, ExistsError(path)
	}
	d := &Download{Origin: from, Info: info, Path: path, Force: o.Force, Shown: o.Shown}
	if err := d.Run(ctx); err != nil {
		return Fetched{}, err
	}
	if !o.NoNotes {
		o.Shown.Note("%-13s  %9s  %s", "fetched", terminal.Size(info.Size), terminal.Printable(path))
	}
	return Fetched{Info: info, Path: path}, nil
}

// WriteUnverified writes the bytes that a provider returned for its copy of a file, and
// closes content. The path is empty for standard output.
func (o Output) WriteUnverified(content *client.CopyContent, file, provider string) (path string, err error) {
	if o.IsStdout() {
		defer content.Body.Close()
		_, err := io.Copy(o.Shown.Streams().Out, content.Body)
		return "", err
	}
	body := o.Shown.Reader(content.Body, terminal.Transfer{Verb: "fetching", Name: file, Size: -1})
	defer body.Close()
	if path, err = o.filePath(file, content.Name); err != nil {
		return "", err
	}
	var n int64
	whole := WholeFile{Path: path, Mode: 0o644, Replace: o.Force}
	err = whole.Write(func(to io.Writer) (err error) {
		n, err = io.Copy(to, body)
		return err
	})
	if err != nil {
		return "", err
	}
	o.Shown.Note("%-13s  %9s  %s, unverified, from %s", "fetched", terminal.Size(n), terminal.Printable(path), provider)
	return path, nil
}

// filePath returns the path of the file to write. Name is the name of the content, and
// id names it in the error if it has no usable name.
func (o Output) filePath(id, name string) (string, error) {
	folder := ""
	if o.Path != "" {
		stat, err := os.Stat(o.Path)
		isFolder := err == nil && stat.IsDir()
		switch {
		case !isFolder && strings.HasSuffix(o.Path, string(filepath.Separator)):
			return "", exit.Usagef("there is no folder %s; make it, or give a file with -o FILE", terminal.Printable(o.Path))
		case !isFolder:
			return o.Path, nil
		}
		folder = o.Path
	}
	// The uploader of the blob chose the name: it must not lead out of the folder.
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", exit.Usagef("%s has no name to save it under; give one with -o FILE", id)
	}
	return filepath.Join(folder, name), nil
}
