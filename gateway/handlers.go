package gateway

import (
	"context"
	_ "embed"
	"net/http"

	"casgate/cas/journal"
	"casgate/gateway/apidoc"
	"casgate/gateway/auth"
	"casgate/gateway/blobapi"
	"casgate/gateway/blobtarget"
	"casgate/gateway/chatapi"
	"casgate/gateway/console"
	"casgate/gateway/copyapi"
	"casgate/gateway/deleteapi"
	"casgate/gateway/fileapi"
	"casgate/gateway/healthapi"
	"casgate/gateway/mcpapi"
	"casgate/gateway/operationapi"
	"casgate/gateway/providerapi"
	"casgate/gateway/record"
	"casgate/gateway/request"
	"casgate/gateway/sessionapi"
	"casgate/gateway/tokenapi"
	"casgate/gateway/uploadcopies"
	"casgate/gateway/view"
)

//go:embed openapi.yaml
var openAPI []byte

// handlers are what the route table needs.
type handlers struct {
	auth        *auth.Authorizer
	uploadSlots *uploadSlots

	blobs      *blobapi.Handlers
	files      *fileapi.Handlers
	copies     *copyapi.Handlers
	deletes    *deleteapi.Handlers
	providers  *providerapi.Handlers
	operations *operationapi.Handlers
	health     *healthapi.Handlers
	chat       *chatapi.Handlers
	chatOff    bool
	sessions   *sessionapi.Handlers
	tokens     *tokenapi.Handlers

	tokenAPIOff bool

	docs    *apidoc.Handlers
	console *console.Handler // nil if it is off
	mcp     *mcpapi.Handlers // nil if it is off
	// urlPath is the path of the public URL, without a slash at the end: a proxy may serve
	// the gateway below it.
	urlPath string
}

// parts are what handlers share beyond the options.
type parts struct {
	auth     *auth.Authorizer
	recorder *record.Recorder
	stopping context.Context // done when the gateway is to stop
	urls     view.URLs
	self     http.RoundTripper // to the gateway's own handler
	draining func() bool
}

// newHandlers wires the handlers.
func newHandlers(o Options, p parts) (*handlers, error) {
	h, urls := &handlers{auth: p.auth, uploadSlots: newUploadSlots(o.MaxUploads)}, p.urls
	waits := request.Waits{Usual: o.CopyWait, Stopping: p.stopping}
	uploads := request.Uploads{MaxSize: o.Store.MaxBlobSize(), Rate: o.bodyRate()}
	targets := blobtarget.Finder{Files: o.Files, Waits: waits}
	uploadCopies := &uploadcopies.Requester{Replicator: o.Copies, Recorder: p.recorder, Log: o.Log}
	h.blobs = &blobapi.Handlers{
		Store: o.Store, Files: o.Files, Copies: o.Copies, UploadCopies: uploadCopies, Signer: p.auth,
		Uploads: uploads, URLs: urls, CacheControl: cacheControl(o.PublicRead),
		Redirect: o.redirect(),
	}
	h.files = &fileapi.Handlers{
		Store: o.Store, Files: o.Files, UploadCopies: uploadCopies, Authorizer: p.auth, Copies: o.Copies,
		Targets: targets, Uploads: uploads, URLs: urls,
	}
	h.copies = &copyapi.Handlers{Store: o.Store, Copies: o.Copies, Targets: targets, Waits: waits, URLs: urls}
	h.deletes = &deleteapi.Handlers{Store: o.Store, Files: o.Files, Copies: o.Copies, Texts: o.Texts, Targets: targets, Waits: waits, URLs: urls}
	h.providers = &providerapi.Handlers{Copies: o.Copies, Log: o.Log}
	h.operations = &operationapi.Handlers{Copies: o.Copies, Journal: o.Records, Lost: lostRecords(o.Journal)}
	h.health = &healthapi.Handlers{Store: o.Store, Copies: o.Copies, IsDiskLow: o.IsDiskLow, IsDraining: p.draining, Installation: o.Installation, Log: o.Log}
	h.chatOff = o.Chat.Off
	h.sessions = &sessionapi.Handlers{Sessions: p.auth, Copies: o.Copies, Version: o.Console.Version, URLs: urls}
	if !o.MCPOff {
		h.mcp = mcpapi.New(mcpapi.Handlers{
			Authorizer: p.auth, Gateway: p.self, Base: "http://localhost", BodyRate: o.bodyRate(), Version: o.Console.Version, ChatOff: o.Chat.Off,
		})
	}
	h.tokens, h.tokenAPIOff = &tokenapi.Handlers{Index: o.Access, Authorizer: p.auth, Recorder: p.recorder, URLs: urls, Log: o.Log}, o.TokenAPIOff
	h.docs = apidoc.New(openAPI, o.PublicURL)
	var err error
	if !o.Console.Off {
		if h.console, err = console.New(); err != nil {
			return nil, err
		}
		h.urlPath = urls.Path()
	}
	h.chat, err = chatapi.New(chatapi.Parts{
		Store: o.Store, Files: o.Files, Copies: o.Copies, Authorizer: p.auth, Waits: waits, BodyRate: o.bodyRate(),
		URLs: urls, Registry: o.Registry, Log: o.Log,
	}, o.Chat)
	return h, err
}

// cacheControl returns the Cache-Control of hash URLs. A cache that recompresses a
// picture would break its digest.
func cacheControl(public bool) string {
	if public {
		return "public, max-age=31536000, immutable, no-transform"
	}
	return "private, max-age=31536000, immutable, no-transform"
}

// lostRecords returns a function that counts the operations that could not be
// recorded; nil without a journal.
func lostRecords(w *journal.Writer) func() uint64 {
	if w == nil {
		return nil
	}
	return w.Lost
}
