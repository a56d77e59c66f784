package gateway_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

var contract = sync.OnceValues(func() (routers.Router, error) {
	spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	if err := spec.Validate(context.Background()); err != nil {
		return nil, err
	}
	spec.Servers = nil // each test's gateway has an address of its own
	return gorillamux.NewRouter(spec)
})

// checkContract holds an exchange against the OpenAPI description. Every test's
// requests go through it.
func checkContract(t *testing.T, a answer) {
	t.Helper()
	router, err := contract()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	if a.Request.Method == http.MethodOptions && len(a.body) == 0 {
		return // it asks what a path takes; the description has no such operations
	}
	if strings.HasPrefix(a.Request.URL.Path, "/console/") && a.Request.URL.Path != "/console/session" {
		return // the parts of a page, which the console's own tests look at
	}
	route, params, err := router.FindRoute(a.Request)
	if err != nil && a.Request.Method == http.MethodHead { // GET stands for HEAD, too
		get := a.Request.Clone(context.Background())
		get.Method = http.MethodGet
		route, params, err = router.FindRoute(get)
	}
	if err != nil {
		if a.StatusCode != http.StatusNotFound && a.StatusCode != http.StatusMethodNotAllowed && !strings.Contains(a.Request.URL.RawPath, "%") {
			t.Errorf("%s %s is answered %d and not in openapi.yaml: %v", a.Request.Method, a.Request.URL.Path, a.StatusCode, err)
		}
		return
	}
	if strings.HasSuffix(route.Operation.OperationID, "reateChatCompletion") {
		return // the answer is the provider's, whatever it is
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: a.Request, Route: route, PathParams: params},
		Status:                 a.StatusCode,
		Header:                 a.Header,
		Options: &openapi3filter.Options{
			// The description says nothing about a blob's bytes.
			ExcludeResponseBody:   a.StatusCode < 300 && slices.Contains([]string{"getBlob", "getText", "getFileContent", "getFileText", "getCopyContent", "getFileCopyContent", "kimiGetFileContent", "glmGetFileContent", "openapi", "docs", "mcp", "console"}, route.Operation.OperationID) || a.Request.Method == http.MethodHead,
			IncludeResponseStatus: true,
		},
		Body: bodyOf(a),
	})
	if err != nil {
		t.Errorf("%s %s is answered %d against openapi.yaml: %v", a.Request.Method, a.Request.URL.Path, a.StatusCode, err)
	}
}
