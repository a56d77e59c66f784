package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"casgate/cas"
	"casgate/cas/access"
)

// secretThing is what an administrator stored: a file, its blob, and a copy at Kimi.
type secretThing struct {
	content         string
	digest, large   cas.Digest
	file, operation string
	times           []string // of the blob and the copy, as answers write them
}

const (
	secretName    = "salary-of-the-board"
	secretContext = "negotiation"
	secretSize    = 9871
	largeSize     = 1_234_567 // more than Kimi takes
)

// storeSecret stores a file as an administrator.
func (s *server) storeSecret() secretThing {
	s.t.Helper()
	content := fmt.Sprintf("%x", random(50)) + strings.Repeat("x", secretSize-100)
	f := s.newFile(secretName+".txt", content, field("context", secretContext), field("tags", "hush-tag"), field("metadata[k]", "hush-value"))
	d := f.Digest()
	// The blob's own name is given to it by an upload.
	if a := s.do("PUT", s.path(d)+"?name="+secretName+"-blob.txt", strings.NewReader(content)); a.StatusCode != 200 {
		s.t.Fatalf("PUT: %d %s", a.StatusCode, a.body)
	}
	if a := s.do("PUT", "/v1/files/"+f.ID+"/copies/kimi", nil); a.StatusCode != 200 {
		s.t.Fatalf("PUT of a copy: %d %s", a.StatusCode, a.body)
	}
	c := s.ensure(d, "kimi")
	blob, err := s.store.Blob(s.t.Context(), d)
	if err != nil {
		s.t.Fatal(err)
	}
	large := s.putNamed(fmt.Sprintf("%x", random(50))+strings.Repeat("x", largeSize-100), secretName+".txt")
	thing := secretThing{large: large, content: content, digest: d, file: f.ID, operation: c.OperationID}
	for _, at := range []time.Time{blob.CreatedAt, c.CreatedAt, *c.ReadyAt} {
		at = at.UTC()
		thing.times = append(thing.times, at.Format(time.RFC3339Nano), at.Format(http.TimeFormat))
	}
	return thing
}

// visit is a request of the walk.
type visit struct {
	query, body string
	digest      cas.Digest // another blob than the file's
	headers     []string
	// own: the answer may show the size, since the request sent the bytes, or has the text.
	own bool
}

// visits are the requests of the walk, by operationId. A visit without an entry has no
// query and no body. The walk fails for an operation that is not listed.
func (s *server) visits(thing secretThing) map[string][]visit {
	form := func(content string, fields ...formPart) visit {
		body, mediaType := formOf(s.t, append(fields, field("purpose", "user_data"), filePart("mine.txt", content))...)
		return visit{body: body.String(), headers: []string{"Content-Type", mediaType}, own: true}
	}
	digests := `{"digests":["` + thing.digest.String() + `"]}`
	put := []visit{
		{body: thing.content, own: true},
		{body: thing.content, headers: []string{"Expect", "100-continue"}},
		{body: "shorter"},
		{body: thing.content, headers: []string{"If-None-Match", "*"}},
	}
	unique := form(thing.content, field("allow_duplicates", "false"))
	unique.own = false
	byDigest := func(more string) visit {
		return visit{body: `{"digest":"` + thing.digest.String() + `","filename":"mine.txt","purpose":"user_data"` + more + `}`, headers: []string{"Content-Type", "application/json"}}
	}
	one := []visit{{}}
	jsonType := []string{"Content-Type", "application/json"}
	// The remote at kimi has no chats, so that only the gateway answers.
	chat := []visit{{body: `{"model":"kimi/x","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"` + thing.file + `"}}]}]}`, headers: jsonType}, {body: "{}", headers: jsonType}}
	all := map[string][]visit{
		"uploadBlob": {{body: thing.content, own: true}, {body: thing.content, query: "?providers=kimi", own: true}}, "putBlob": put,
		"createFile": {form(thing.content), unique, form(thing.content, field("providers", "kimi")), byDigest(""), byDigest(`,"allow_duplicates":false`)},
		"listBlobs":  {{}, {query: "?digest_prefix=" + thing.digest.Hex()[:8]}}, "findMissing": {{body: digests}, {query: "?present=true", body: digests}}, "getBlob": one, "headBlob": one,
		"deleteBlob": {{headers: []string{"If-Match", `"x"`}}, {}, {query: "?force=true"}, {query: "?force=true&everywhere=true"}},
		"blobMeta":   one, "signUrl": {{body: `{"expires_in":60}`}},
		"listCopies": one, "ensureCopy": {{}, {digest: thing.large}, {query: "?purpose=image"}, {query: "?name=x.exe"}, {headers: []string{"Prefer", "respond-async"}}}, "getCopy": one, "deleteCopies": one,
		"getCopyContent": one, "reportLost": {{}, {body: `{"provider_file_id":"x"}`}}, "getReference": {{own: true}, {query: "?kind=file-id"}, {query: "?kind=nothing"}}, "getText": {{own: true}}, "headText": {{own: true}}, "headFileContent": one, "headFileText": {{own: true}},
		"createUploadUrl": {{body: `{"filename":"mine.txt","digest":"` + thing.digest.String() + `"}`}}, "putUploadUrl": {{body: thing.content}, {query: "?" + s.uploadQuery(thing.digest), body: thing.content, own: true}, {query: "?" + s.uploadQuery(thing.digest), body: "shorter"}},
		"listFiles": {{}, {query: "?sha256=" + thing.digest.Hex()}}, "getFile": one, "deleteFile": {{headers: []string{"If-Match", `"x"`}}, {}, {query: "?everywhere=true"}}, "getFileContent": one,
		"listFileCopies": one, "ensureFileCopy": {{}, {query: "?purpose=image"}}, "getFileCopy": one, "deleteFileCopies": one,
		"getFileCopyContent": one, "reportFileCopyLost": one, "getFileReference": {{own: true}}, "getFileText": {{own: true}},
		"listProviders": one, "getProvider": one, "reconcile": {{}, {query: "?apply=true"}},
		"listOperations": one, "getOperation": one, "console": one, "logIn": {{body: `{"token":"x"}`}}, "showSession": one, "logOut": one, "healthz": one, "readyz": one, "openapi": one, "openapiJSON": one, "docs": one,
	}
	all["mcp"] = nil
	for _, call := range []string{
		`"tools/list"`, `"resources/list"`, `"resources/templates/list"`, `"resources/read","params":{"uri":"casgate://file/` + thing.file + `"}`,
		`"tools/call","params":{"name":"find_files","arguments":{}}`, `"tools/call","params":{"name":"read_file","arguments":{"file":"` + thing.file + `"}}`,
		`"tools/call","params":{"name":"reference_file","arguments":{"file":"` + thing.file + `","provider":"glm","kind":"nothing"}}`,
		`"tools/call","params":{"name":"delete_file","arguments":{"file_id":"file-none"}}`,
	} {
		all["mcp"] = append(all["mcp"], visit{body: `{"jsonrpc":"2.0","id":1,"method":` + call + `}`, headers: append(jsonType, "Accept", "application/json, text/event-stream")})
	}
	all["listTokens"], all["getOwnToken"], all["revokeToken"] = one, one, one
	all["createToken"] = []visit{{body: `{"name":"x","scopes":["read"]}`, headers: jsonType}}
	all["createChatCompletion"], all["listModels"], all["getModel"] = chat, one, one
	for _, door := range []string{"kimi", "glm"} {
		all[door+"CreateChatCompletion"], all[door+"ListModels"], all[door+"GetModel"] = chat, one, one
		all[door+"CreateFile"], all[door+"DeleteFile"] = []visit{form(thing.content), unique}, []visit{{headers: []string{"If-Match", `"x"`}}}
		all[door+"ListFiles"], all[door+"GetFile"], all[door+"GetFileContent"] = one, one, one
	}
	return all
}

// A token without the scope read learns no name, size or time of what others stored, from
// any route.
func TestWithoutReadOthersStayUnknown(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, scopes := range [][]access.Scope{
			{access.ScopeWrite}, {access.ScopeDelete}, {access.ScopeSync}, {access.ScopeChat}, {access.ScopeWrite, access.ScopeDelete, access.ScopeSync},
		} {
			t.Run(access.JoinScopes(scopes), func(t *testing.T) { s.walk(t, spec, scopes) })
		}
		if thing := s.storeSecret(); true { // the walk looks for what answers do have
			a := s.do("GET", s.path(thing.digest)+"/meta", nil)
			for _, needle := range []string{secretName, secretContext, fmt.Sprint(secretSize), thing.times[0]} {
				if !strings.Contains(string(a.body), needle) {
					t.Errorf("with read, the answer lacks %q: %s", needle, a.body)
				}
			}
		}
	})
}

// walk makes the requests of all operations with a token of these scopes.
func (s *server) walk(t *testing.T, spec *openapi3.T, scopes []access.Scope) {
	token := s.newToken(scopes...)
	thing := s.storeSecret()
	visits := s.visits(thing)
	type operation struct{ method, path, id string }
	var operations []operation
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			operations = append(operations, operation{method, path, o.OperationID})
		}
	}
	slices.SortFunc(operations, func(a, b operation) int { // deletes are last
		if d := isDelete(a.method) - isDelete(b.method); d != 0 {
			return d
		}
		return strings.Compare(a.path+a.method, b.path+b.method)
	})
	for _, o := range operations {
		if visits[o.id] == nil {
			t.Errorf("the walk has no request for %s %s (%s)", o.method, o.path, o.id)
		}
		replace := func(d cas.Digest) string {
			return strings.NewReplacer("{digest}", d.String(), "{file_id}", thing.file, "{provider}", "kimi", "{id}", thing.operation, "{token_id}", "another").Replace(o.path)
		}
		for _, v := range visits[o.id] {
			path := replace(thing.digest)
			if !v.digest.IsZero() {
				path = replace(v.digest)
			}
			var body io.Reader
			if v.body != "" {
				body = strings.NewReader(v.body)
			}
			a := s.do(o.method, path+v.query, body, append(v.headers, "Authorization", "Bearer "+token)...)
			thing.checkHidden(t, o.method+" "+path+v.query, v, a)
		}
	}
}

func isDelete(method string) int {
	if method == http.MethodDelete {
		return 1
	}
	return 0
}

// operationIDs matches ids of operations. A group of their digits may be equal to a size.
var operationIDs = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// checkHidden looks for what only the administrator knows in an answer.
func (thing secretThing) checkHidden(t *testing.T, request string, v visit, a answer) {
	var text strings.Builder
	if err := a.Header.Write(&text); err != nil {
		t.Fatal(err)
	}
	text.Write(a.body)
	shown := operationIDs.ReplaceAllString(text.String(), "ID")
	needles := []string{secretName, secretContext, "hush-tag", "hush-value"}
	for _, at := range thing.times {
		needles = append(needles, regexp.QuoteMeta(at))
	}
	if !v.own {
		needles = append(needles, fmt.Sprintf(`\b(%d|%d)\b`, secretSize, largeSize))
	}
	for _, needle := range needles {
		if needle != a.Header.Get("Date") && regexp.MustCompile(needle).MatchString(shown) {
			t.Errorf("%s tells %q:\n%d %.2000s", request, needle, a.StatusCode, text.String())
		}
	}
}
