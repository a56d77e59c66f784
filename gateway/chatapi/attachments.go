package chatapi

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/chatbody"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/view"
	"casgate/providers"
	"casgate/providers/replicator"
)

// The sources of attachments, for the metrics.
const (
	sourceFile   = "file"
	sourceDigest = "digest"
	sourceInline = "inline"
	sourcePassed = "passed"
)

// headerRawIDs passes ids of files that are not known here on to the provider. It needs
// the scope admin: every such id would be as good as the provider's own key.
const headerRawIDs = "X-Casgate-Raw-Ids"

// maxAttachments bounds the files of one request.
const maxAttachments = 1000

// attachment is a part of a request that stands for a file.
type attachment struct {
	part   chatbody.Part
	param  chatbody.Param // the place of the string that names the file
	source string
	inline *inline // until it is taken in
	asIs   bool    // the provider takes the part as it stands
	// want asks for the reference, and has the blob.
	want replicator.Request
	ref  replicator.Reference
	// charged is the part of the memory that the reference has, in bytes.
	charged int64
}

// attach finds the files that the parts of the request name or contain. Parts that are the
// provider's own business stay out.
func (x *completion) attach(ctx context.Context) error {
	for _, part := range x.body.Parts {
		a, err := x.attachment(ctx, part)
		if err != nil {
			return err
		}
		if a == nil {
			continue
		}
		a.part = part
		a.want.Provider, a.want.Actor = x.to.provider, request.StateOf(x.c).Record.Actor
		if len(x.attached) == maxAttachments {
			return problem.WithParam(part.Param.String(), problem.BadRequest(fmt.Sprintf("the request names more than %d files", maxAttachments)))
		}
		x.attached = append(x.attached, a)
	}
	return nil
}

// attachment returns what a part stands for, or nil.
func (x *completion) attachment(ctx context.Context, part chatbody.Part) (*attachment, error) {
	if id, ok := part.Value(chatbody.FileID); ok {
		return x.named(ctx, id)
	}
	if data, ok := part.Value(chatbody.FileData); ok {
		return x.contained(part, data)
	}
	address, ok := part.Value(chatbody.URL)
	if !ok {
		return nil, nil
	}
	if hasScheme(address.Text, "data:") {
		return x.contained(part, address)
	}
	if d, ok, err := x.hashURL(string(address.Text)); ok || err != nil {
		return x.ofDigest(ctx, d, address.Param, err)
	}
	if id, ok := strings.CutPrefix(string(address.Text), x.door.Scheme); ok && x.door.Scheme != "" && cas.IsFileID(id) {
		return x.ofFile(ctx, id, address.Param)
	}
	return nil, nil // any other URL is between the client and the provider: the gateway fetches none
}

// named returns the file or the blob with an id.
func (x *completion) named(ctx context.Context, id chatbody.Value) (*attachment, error) {
	if hasScheme(id.Text, "sha256:") {
		d, err := cas.ParseDigest(string(id.Text))
		return x.ofDigest(ctx, d, id.Param, err)
	}
	a, err := x.ofFile(ctx, string(id.Text), id.Param)
	if errors.Is(err, cas.ErrFileNotFound) && x.passesRawIDs() {
		return nil, nil
	}
	return a, err
}

// passesRawIDs reports whether the request may name files by the provider's own ids.
func (x *completion) passesRawIDs() bool {
	return x.c.Request().Header.Get(headerRawIDs) == "true" && x.h.Authorizer.Require(x.c, access.ScopeAdmin) == nil
}

func (x *completion) ofFile(ctx context.Context, id string, param chatbody.Param) (*attachment, error) {
	if err := x.h.Authorizer.Require(x.c, access.ScopeRead); err != nil {
		return nil, problem.WithParam(param.String(), err)
	}
	file, blob, err := x.h.Files.KnownBytes(ctx, id)
	if err != nil {
		return nil, problem.WithParam(param.String(), x.fileError(ctx, id, err))
	}
	return &attachment{param: param, source: sourceFile, want: replicator.Request{
		Digest: blob.Digest, Name: file.Name, MediaType: file.MediaType, File: id,
	}}, nil
}

// fileError says of a file that its bytes can't be had.
func (x *completion) fileError(ctx context.Context, id string, err error) error {
	switch {
	case errors.Is(err, cas.ErrFileNotFound):
		return fmt.Errorf("%w: %.100q was deleted, has expired, or never was; ids of files at providers are not passed on", cas.ErrFileNotFound, id)
	case errors.Is(err, cas.ErrBlobNotFound):
		return problem.New(problem.BlobNotFound, fmt.Sprintf("The bytes of the file %s were deleted. Uploading the same bytes again brings them back.", id))
	}
	return x.late(ctx, problem.OfImport(err))
}

// late returns the error for a wait that has run out, whatever it was that took so long.
// SDKs repeat the request by themselves then.
func (x *completion) late(wait context.Context, err error) error {
	if err == nil || errors.Is(err, providers.ErrCopyInProgress) || !errors.Is(wait.Err(), context.DeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: the files of the request are not all ready yet, and the work goes on", providers.ErrCopyInProgress)
}

// ofDigest returns the blob with a digest. The error of reading the digest may be passed.
func (x *completion) ofDigest(ctx context.Context, d cas.Digest, param chatbody.Param, err error) (*attachment, error) {
	if err == nil {
		err = x.h.Authorizer.Require(x.c, access.ScopeRead)
	}
	if err == nil {
		_, err = x.h.Store.Blob(ctx, d)
		err = x.late(ctx, err)
	}
	if err != nil {
		return nil, problem.WithParam(param.String(), problem.WithBlob(err, d))
	}
	return &attachment{param: param, source: sourceDigest, want: replicator.Request{Digest: d}}, nil
}

// hashURL reads a URL that names a blob: a digest, a path, or a URL of this gateway, with
// or without a signature. The token decides who may read, and not the signature.
func (x *completion) hashURL(text string) (d cas.Digest, ok bool, err error) {
	if hasScheme([]byte(text), "sha256:") {
		d, err = cas.ParseDigest(text)
		return d, true, err
	}
	path, ok := x.ownPath(text)
	if !ok {
		return d, false, nil
	}
	rest, ok := strings.CutPrefix(path, view.BlobsPath+"/")
	if !ok {
		return d, false, nil
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	if decoded, decodeErr := url.PathUnescape(rest); decodeErr == nil {
		rest = decoded
	}
	d, err = cas.ParseDigest(rest)
	return d, true, err
}

// ownPath returns the path and the query of a URL of this gateway, or of a path alone. The
// case of scheme and host doesn't matter.
func (x *completion) ownPath(text string) (path string, ok bool) {
	if strings.HasPrefix(text, "/") {
		return text, true
	}
	base := x.h.URLs.Base
	scheme, rest, _ := strings.Cut(base, "://")
	host, prefix, _ := strings.Cut(rest, "/")
	origin := scheme + "://" + host
	if prefix != "" {
		prefix = "/" + prefix
	}
	if !hasScheme([]byte(text), origin) {
		return "", false
	}
	return strings.CutPrefix(text[len(origin):], prefix)
}

// hasScheme reports whether a text begins with the scheme of a URL, in any case.
func hasScheme(text []byte, scheme string) bool {
	return len(text) >= len(scheme) && strings.EqualFold(string(text[:len(scheme)]), scheme)
}
