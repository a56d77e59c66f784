package gateway

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/auth"
	"casgate/gateway/chatapi"
	"casgate/gateway/console"
	"casgate/gateway/request"
	"casgate/gateway/view"
)

// route is a line of the route table.
type route struct {
	method string // GET stands for HEAD, too
	path   string
	// kind is the kind of record that a request leaves in the journal. Empty: none, since
	// it only looks. HEAD leaves none where GET is a download.
	kind    journal.Kind
	allow   echo.MiddlewareFunc // lets requests through that are authorized
	handler echo.HandlerFunc
}

// looks is the kind of a route whose requests leave no record.
const looks journal.Kind = ""

// routes returns the route table: the whole API.
func (h *handlers) routes() []route {
	anyone := func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	either := h.auth.TokenOrSession // a program's token, or the console's session
	read := either(auth.Scopes(access.ScopeRead))
	sync := either(auth.Scopes(access.ScopeSync))
	remove := either(auth.Scopes(access.ScopeSync, access.ScopeDelete))
	write := either(auth.Scopes(access.ScopeWrite))
	upload := either(uploadScopes)
	deletion := either(deleteScopes)
	reconcile := either(reconcileScopes)
	hashURL := h.auth.HashURL
	slot := h.uploadSlots.limit

	table := []route{
		{"GET", "/healthz", looks, anyone, h.health.Live},
		{"GET", "/readyz", looks, anyone, h.health.Ready},
		{"GET", "/openapi.yaml", looks, anyone, h.docs.YAML},
		{"GET", "/openapi.json", looks, anyone, h.docs.JSON},
		{"GET", docsPath, looks, anyone, h.docs.Page},
		{"GET", docsPath + "/", looks, anyone, h.openDocs},

		{"POST", "/v1/blobs", journal.KindUpload, upload, slot(h.blobs.Post)},
		{"GET", "/v1/blobs", looks, read, h.blobs.List},
		{"POST", "/v1/blobs/find-missing", looks, read, h.blobs.FindMissing},
		{"PUT", "/v1/blobs/:digest", journal.KindUpload, upload, slot(h.blobs.Put)},
		{"GET", "/v1/blobs/:digest", journal.KindDownload, hashURL, h.blobs.Get},
		{"DELETE", "/v1/blobs/:digest", journal.KindDelete, deletion, h.deletes.Blob},
		{"GET", "/v1/blobs/:digest/meta", looks, read, h.blobs.Meta},
		{"POST", "/v1/blobs/:digest/url", looks, read, h.blobs.SignURL},

		{"POST", view.FilesPath, journal.KindUpload, upload, slot(h.files.Create)},
		{"GET", view.FilesPath, looks, read, h.files.List},
		{"GET", view.FilesPath + "/:file", looks, read, h.files.Get},
		{"DELETE", view.FilesPath + "/:file", journal.KindDelete, deletion, h.deletes.File},
		{"GET", view.FilesPath + "/:file/content", journal.KindDownload, read, h.files.Content},

		{"POST", view.UploadURLsPath, looks, write, h.files.MakeUploadURL},
		{"PUT", view.UploadURLsPath, journal.KindUpload, anyone, h.auth.UploadURL(h.putUploadURL)},

		{"GET", "/v1/providers", looks, read, h.providers.List},
		{"GET", "/v1/providers/:provider", looks, read, h.providers.Get},
		{"POST", "/v1/providers/:provider/reconcile", journal.KindReconcile, reconcile, h.providers.Reconcile},
		{"GET", "/v1/operations", looks, read, h.operations.List},
		{"GET", "/v1/operations/:id", looks, read, h.operations.Get},
	}
	// Copies are of a blob, which the path names by digest or by a file.
	for _, of := range []string{"/v1/blobs/:digest", view.FilesPath + "/:file"} {
		table = append(table,
			route{"GET", of + "/copies", looks, read, h.copies.List},
			route{"PUT", of + "/copies/:provider", journal.KindSync, sync, h.copies.Ensure},
			route{"GET", of + "/copies/:provider", looks, read, h.copies.Get},
			route{"DELETE", of + "/copies/:provider", journal.KindUnsync, remove, h.copies.Remove},
			route{"GET", of + "/copies/:provider/content", journal.KindDownload, read, h.copies.Content},
			route{"POST", of + "/copies/:provider/lost", journal.KindSync, sync, h.copies.ReportLost},
			route{"GET", of + "/references/:provider", journal.KindSync, sync, h.copies.Reference},
			route{"GET", of + "/text", journal.KindDownload, sync, h.copies.Text},
		)
	}
	if h.console != nil {
		table = append(table,
			route{"GET", "/", looks, anyone, h.openConsole},
			route{"GET", consolePath, looks, anyone, h.openConsole},
			route{"GET", consolePath + "/*", looks, anyone, h.serveConsole},
			route{"POST", consolePath + "/session", looks, h.auth.OwnPages, h.sessions.Start},
			route{"GET", consolePath + "/session", looks, either(auth.Scopes()), h.sessions.Show},
			route{"DELETE", consolePath + "/session", looks, h.auth.OwnPages, h.sessions.End},
		)
	}
	if h.mcp != nil {
		// A page with a session of the console is no agent. The tools' own requests are
		// checked for their scopes.
		anyProgram := h.auth.Token(auth.Scopes())
		agent := func(next echo.HandlerFunc) echo.HandlerFunc { return h.auth.KnownPages(anyProgram(next)) }
		table = append(table, route{"POST", mcpPath, looks, agent, h.mcp.Serve})
	}
	// A program may ask for its own rights even where it can't manage tokens.
	anyToken := either(auth.Scopes())
	table = append(table, route{"GET", view.TokensPath + "/self", looks, anyToken, h.tokens.Self})
	if !h.tokenAPIOff {
		admin := either(auth.Scopes(access.ScopeAdmin))
		table = append(table,
			route{"GET", view.TokensPath, looks, admin, h.tokens.List},
			route{"POST", view.TokensPath, journal.KindTokenMade, admin, h.tokens.Create},
			route{"DELETE", view.TokensPath + "/:token", journal.KindTokenEnded, anyToken, h.tokens.Revoke},
		)
	}
	if h.chatOff {
		return table
	}
	table = append(table, h.chatRoutes("/v1", chatapi.Door{})...)
	for _, d := range doors {
		table = append(table, h.chatRoutes(d.prefix, d.Door)...)
		program, readScopes := h.auth.Token, auth.Scopes(access.ScopeRead)
		files := d.prefix + "/files"
		table = append(table,
			route{"POST", files, journal.KindUpload, program(uploadScopes), slot(h.files.Create)},
			route{"GET", files, looks, program(readScopes), h.files.List},
			route{"GET", files + "/:file", looks, program(readScopes), h.files.Get},
			route{"DELETE", files + "/:file", journal.KindDelete, program(deleteScopes), h.deletes.File},
			route{"GET", files + "/:file/content", journal.KindDownload, program(readScopes), h.copies.ContentOrText(d.Provider, h.files.Content)},
		)
	}
	return table
}

// docsPath is where the page with the description of the API is. The page's own URLs are
// relative to it.
const docsPath = "/docs"

// openDocs sends a browser to the page.
func (h *handlers) openDocs(c echo.Context) error {
	return c.Redirect(http.StatusSeeOther, h.urlPath+docsPath)
}

// mcpPath is where agents find their tools.
const mcpPath = "/mcp"

// consolePath is where the console is. The page's own URLs are relative to it.
const consolePath = "/console"

// openConsole sends a browser to the console. Programs get the problem of a path where
// there is nothing.
func (h *handlers) openConsole(c echo.Context) error {
	c.Response().Header().Add(echo.HeaderVary, echo.HeaderAccept)
	if !console.AcceptsHTML(c.Request()) {
		return echo.ErrNotFound
	}
	return c.Redirect(http.StatusSeeOther, h.urlPath+consolePath+"/")
}

// serveConsole answers with a file on disk of the console.
func (h *handlers) serveConsole(c echo.Context) error {
	if !h.console.Serve(c.Response(), c.Request(), c.Param("*")) {
		return echo.ErrNotFound
	}
	return nil
}

// doors are the paths of providers' own APIs, for programs that were written for them.
var doors = []struct {
	prefix string
	chatapi.Door
}{
	{"/kimi/v1", chatapi.Door{Provider: "kimi", Scheme: "ms://"}},
	{"/glm/api/paas/v4", chatapi.Door{Provider: "glm"}},
}

// chatRoutes returns the routes of requests to models, below a path.
func (h *handlers) chatRoutes(prefix string, door chatapi.Door) []route {
	chat := h.auth.Token(auth.Scopes(access.ScopeChat))
	look := h.auth.TokenWithAny(access.ScopeChat, access.ScopeRead)
	return []route{
		{"POST", prefix + "/chat/completions", journal.KindChat, chat, h.chat.Completions(door)},
		{"GET", prefix + "/models", looks, look, h.chat.Models(door)},
		{"GET", prefix + "/models/*", looks, look, h.chat.Model(door)},
	}
}

// putUploadURL answers PUT of an upload URL, with a slot as for each upload.
func (h *handlers) putUploadURL(c echo.Context, grant access.UploadGrant) error {
	return h.uploadSlots.limit(func(c echo.Context) error { return h.files.PutUploadURL(c, grant) })(c)
}

// addTo adds the route to Echo's router.
func (r route) addTo(e *echo.Echo) {
	handler := r.allow(r.handler)
	recorded := func(c echo.Context) error {
		request.StateOf(c).Record.Kind = r.kind
		return handler(c)
	}
	if r.kind == looks {
		recorded = handler
	}
	e.Add(r.method, r.path, recorded)
	switch {
	case r.method != http.MethodGet:
	case r.kind == journal.KindDownload:
		e.Add(http.MethodHead, r.path, handler)
	default:
		e.Add(http.MethodHead, r.path, recorded)
	}
}

// uploadScopes returns the scopes of an upload, which may ask for copies.
func uploadScopes(c echo.Context) []access.Scope {
	if request.HasQuery(c) && strings.Join(c.QueryParams()["providers"], "") != "" {
		return []access.Scope{access.ScopeWrite, access.ScopeSync}
	}
	return []access.Scope{access.ScopeWrite}
}

// deleteScopes returns the scopes of a delete. Everywhere it removes files at
// providers, too.
func deleteScopes(c echo.Context) []access.Scope {
	if everywhere, err := request.Bool(c, "everywhere"); err == nil && !everywhere {
		return []access.Scope{access.ScopeDelete}
	}
	return []access.Scope{access.ScopeSync, access.ScopeDelete}
}

// reconcileScopes returns the scopes of a reconciliation, which removes files only if
// it is applied.
func reconcileScopes(c echo.Context) []access.Scope {
	if apply, err := request.Bool(c, "apply"); err == nil && !apply {
		return []access.Scope{access.ScopeSync}
	}
	return []access.Scope{access.ScopeSync, access.ScopeDelete}
}
