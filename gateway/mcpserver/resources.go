package mcpserver

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

const (
	fileURI   = "casgate://file/"
	digestURI = "casgate://sha256/"
	// resourcePage is the number of files on a page of resources.
	resourcePage = 100
	// maxResource is the largest resource that is read, in bytes.
	maxResource = 256 << 10
)

// resourceCapabilities is what the server says of its resources: nil if the token may not
// read.
func (s *server) resourceCapabilities() *mcp.ResourceCapabilities {
	if !s.allows(access.ScopeRead) {
		return nil
	}
	return &mcp.ResourceCapabilities{}
}

// addResources makes each file a resource.
func (s *server) addResources(m *mcp.Server) {
	m.AddResourceTemplate(&mcp.ResourceTemplate{
		Name: "file", Title: "A file by its id", URITemplate: fileURI + "{file_id}",
		Description: "The text or the bytes of a stored file, up to 256 KiB.",
	}, s.readResource)
	m.AddResourceTemplate(&mcp.ResourceTemplate{
		Name: "content", Title: "Content by its SHA-256", URITemplate: digestURI + "{hex}",
		Description: "The text or the bytes with this SHA-256 in hexadecimal, up to 256 KiB.",
	}, s.readResource)
	m.AddReceivingMiddleware(s.listResources, giveOldCodes)
}

// listResources answers resources/list with pages of the files, newest first.
func (s *server) listResources(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
		list, ok := r.(*mcp.ListResourcesRequest)
		if !ok {
			return next(ctx, method, r)
		}
		var after string
		if list.Params != nil {
			after, list.Params.Cursor = list.Params.Cursor, "" // the SDK's own list is empty
		}
		if len(after) > maxArgument {
			return nil, protocolError(badArgument("cursor: pass the nextCursor of a page"))
		}
		res, err := next(ctx, method, r)
		if err != nil {
			return nil, err
		}
		ctx, cancel := withinLookLimit(ctx)
		defer cancel()
		page, err := s.client.FilePage(ctx, client.FileListOptions{Descending: true, PageSize: resourcePage, After: after})
		if err != nil {
			return nil, protocolError(err)
		}
		found := res.(*mcp.ListResourcesResult)
		for _, f := range page.Data {
			found.Resources = append(found.Resources, &mcp.Resource{
				URI: fileURI + f.ID, Name: f.Filename, MIMEType: f.MediaType, Size: f.Bytes,
				Annotations: &mcp.Annotations{LastModified: time.Unix(f.CreatedAt, 0).UTC().Format(time.RFC3339)},
			})
		}
		if page.HasMore && page.LastID != nil {
			found.NextCursor = *page.LastID
		}
		return found, nil
	}
}

// readResource answers resources/read.
func (s *server) readResource(ctx context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	uri := r.Params.URI
	name, isFile := strings.CutPrefix(uri, fileURI)
	if !isFile {
		name = "sha256:" + strings.TrimPrefix(uri, digestURI)
	}
	t, err := s.find(ctx, name)
	if errors.Is(err, cas.ErrFileNotFound) || errors.Is(err, cas.ErrBlobNotFound) {
		return nil, mcp.ResourceNotFoundError(uri)
	}
	if err != nil {
		return nil, protocolError(err)
	}
	if t.size > maxResource {
		return nil, protocolError(badArgument("the resource has %d bytes, and at most %d are read so; call %s with file=%q and as=%q", t.size, maxResource, ToolReadFile, name, asLink))
	}
	raw, err := s.read(ctx, t.blob, part{0, maxResource}, t.size)
	if err != nil {
		return nil, protocolError(err)
	}
	contents := &mcp.ResourceContents{URI: uri, MIMEType: t.mediaType, Blob: append([]byte{}, raw...)}
	// An empty text would be left out of the JSON; empty bytes are not.
	if text := wholeCharacters(raw, 0, t.size); text.isText() && text.text != "" && formOf(t.mediaType) == formText {
		contents.Blob, contents.Text = nil, text.text
	}
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{contents}}, nil
}

// codeNotFoundBefore is the code of a resource that isn't there, in the versions of the protocol
// before VersionWithoutInitialize.
const codeNotFoundBefore = -32002

// giveOldCodes gives the error of a missing resource the code of the client's version. The SDK
// gives it that of the newest version.
func giveOldCodes(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
		res, err := next(ctx, method, r)
		read, ok := r.(*mcp.ReadResourceRequest)
		missing, isMissing := notFound(err)
		if !ok || !isMissing {
			return res, err
		}
		if began := read.Session.InitializeParams(); began == nil || began.ProtocolVersion >= VersionWithoutInitialize {
			return res, err
		}
		return nil, &jsonrpc.Error{Code: codeNotFoundBefore, Message: missing.Message, Data: missing.Data}
	}
}

// notFound returns the SDK's error of a missing resource. Other errors have its code, too.
func notFound(err error) (*jsonrpc.Error, bool) {
	e, ok := errors.AsType[*jsonrpc.Error](err)
	return e, ok && e.Code == jsonrpc.CodeInvalidParams && e.Message == mcp.ResourceNotFoundError("").Error()
}

// protocolError is toolError for a request that is no call of a tool. A client may show the
// error of wrong parameters to its model, and take any other for a failure of the server.
func protocolError(err error) error {
	code := codeOf(err)
	data, marshalErr := json.Marshal(map[string]problem.Code{"code": code})
	if marshalErr != nil {
		panic(marshalErr) // a text can be marshalled
	}
	number := int64(jsonrpc.CodeInternalError)
	if isRequestsFault(code) {
		number = jsonrpc.CodeInvalidParams
	}
	return &jsonrpc.Error{Code: number, Message: toolError(err).Error(), Data: data}
}
