package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/providers"
)

// subject is an argument that names what the gateway has, or a local file, which is
// stored first.
type subject struct {
	stored
	path string // of a local file; empty where something stored is named
}

// UnmarshalText implements encoding.TextUnmarshaler. What looks like a digest, a URL
// or a file's id is one; a local file of such a name can be given as ./NAME.
func (s *subject) UnmarshalText(text []byte) error {
	given := string(text)
	if strings.Contains(given, "://") || strings.HasPrefix(given, "sha256:") || cas.IsFileID(given) {
		return s.stored.UnmarshalText(text)
	}
	if given == "" {
		return errors.New("an empty argument names no file")
	}
	s.path = given
	return nil
}

// item returns the subject as something to store, which is done already where it is
// stored. Name is what to call it; empty means its own name.
func (s subject) item(gateway *client.Client, name string) (*putItem, error) {
	if s.path != "" {
		item := fileItem(s.path)
		item.options.Name = name
		if name == "" {
			item.options.Name = item.ownName()
		}
		return item, nil
	}
	o, err := s.at(gateway)
	if err != nil {
		return nil, err
	}
	item := newPutItem(s.stored.String())
	item.options.Name, item.file = name, o.file
	item.finish(api.Blob{Digest: o.digest}, nil)
	return item, nil
}

// fileItem is one file to store. Where it can't be stored the item has failed
// already.
func fileItem(path string) *putItem {
	item := newPutItem(path)
	if path == stdinPath {
		item.streamed = true
		return item
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		item.finish(api.Blob{}, fmt.Errorf("%w; what the gateway has is named by sha256:…, hash URL or file id, and anything else is a local file", withoutPath(err)))
	case err != nil:
		item.finish(api.Blob{}, withoutPath(err))
	case info.IsDir():
		item.finish(api.Blob{}, errors.New("it is a folder; name the files in it"))
	default:
		item.streamed = !info.Mode().IsRegular() // such as a pipe
	}
	return item
}

// bring stores the subject where it is a local file, for a provider or, if that is
// empty, for any. It returns what then has copies, and the name to ask for them with,
// which may be empty.
func (s subject) bring(ctx context.Context, gateway *client.Client, name, provider string, shown *terminal.Progress) (owner, string, error) {
	item, err := s.item(gateway, name)
	if err != nil {
		return owner{}, "", err
	}
	items := []*putItem{item}
	if provider != "" {
		if err := checkProviders(ctx, gateway, items, []string{provider}); err != nil {
			return owner{}, "", err
		}
	}
	u := &uploader{gateway: gateway, stdin: shown.Streams().In, parallel: 1, shown: shown}
	if err := u.store(ctx, items); err != nil {
		return owner{}, "", err
	}
	if item.err != nil {
		return owner{}, "", fmt.Errorf("%s: %w", terminal.Printable(item.path), item.err)
	}
	return item.owner(gateway), item.options.Name, nil
}

// checkProviders makes sure that the gateway knows the providers, before files are
// stored for copies that could then not be made. Where none is stored, or they are
// sent without a question, it leaves that to the gateway: a token may be good for
// that and not for questions.
func checkProviders(ctx context.Context, gateway *client.Client, items []*putItem, names []string) error {
	if !slices.ContainsFunc(items, func(i *putItem) bool { return !i.finished() && !i.streamed }) {
		return nil
	}
	for _, name := range names {
		if _, err := gateway.Provider(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// checkCodes are what the gateway says of files that it doesn't even send.
var checkCodes = []string{"unknown_purpose", "unsupported_extension", "empty_file", "file_too_large", providers.CodeNotConfigured}

// adviseCopy adds the next step to errors about copies.
func adviseCopy(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return advise(err)
	}
	switch p := e.Problem; {
	case p.ProviderCode == "unsupported_extension":
		return fmt.Errorf("%w; --name gives it another name", err)
	case p.Code == api.CodeProviderNotFound:
		return fmt.Errorf("%w; `cas providers` lists all", err)
	case p.Code == api.CodeCopyInProgress:
		return fmt.Errorf("%w; the gateway goes on with it, and the same command can be tried again later", err)
	case p.Code == api.CodeBlobNotFound:
		return fmt.Errorf("%w; `cas put` stores it", err)
	case p.Code == api.CodeFileNotFound:
		return fmt.Errorf("%w; `cas file ls` lists those there are", err)
	case p.Provider != "" && !slices.Contains(checkCodes, p.ProviderCode) && problemExitCode(p) == exit.Refused:
		return fmt.Errorf("%w; once that is mended, `cas sync --retry` tries again at once", err)
	}
	return advise(err)
}
