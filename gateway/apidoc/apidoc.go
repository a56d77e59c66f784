// Package apidoc serves the description of the API: as YAML, as JSON, and as a page to
// read. The page loads nothing from other hosts.
package apidoc

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"
)

// described is the URL in the description's list of servers; the served description has
// the gateway's own there.
const described = "http://127.0.0.1:8080"

var (
	//go:embed page.html
	page string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// Handlers answers requests for the description.
type Handlers struct {
	yaml, page []byte
	json       func() ([]byte, error) // made when it is first asked for: it takes a start's time
	policy     string
}

// New returns the handlers for a description in YAML, and for the public URL of the
// gateway.
func New(openAPI []byte, publicURL string) *Handlers {
	text := []byte(strings.Replace(string(openAPI), "url: "+described+"\n", "url: "+publicURL+"\n", 1))
	return &Handlers{
		yaml: text, json: sync.OnceValues(func() ([]byte, error) { return toJSON(text) }),
		page: []byte(strings.NewReplacer("/*style*/", style, "/*script*/", script).Replace(page)),
		policy: fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
			hashOf(script), hashOf(style)),
	}
}

// toJSON converts the description. An error means that the program was built wrong.
func toJSON(openAPI []byte) ([]byte, error) {
	var tree any
	if err := yaml.Unmarshal(openAPI, &tree); err != nil {
		return nil, fmt.Errorf("the description of the API: %w", err)
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("the description of the API as JSON: %w", err)
	}
	return asJSON, nil
}

// hashOf returns the source of a Content-Security-Policy that allows one inline text.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// YAML answers GET /openapi.yaml.
func (h *Handlers) YAML(c echo.Context) error {
	return answer(c, "application/yaml", h.yaml)
}

// JSON answers GET /openapi.json.
func (h *Handlers) JSON(c echo.Context) error {
	description, err := h.json()
	if err != nil {
		return err
	}
	return answer(c, echo.MIMEApplicationJSON, description)
}

// Page answers GET /docs.
func (h *Handlers) Page(c echo.Context) error {
	header := c.Response().Header()
	header.Set(echo.HeaderContentSecurityPolicy, h.policy)
	header.Set(echo.HeaderXContentTypeOptions, "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	return answer(c, echo.MIMETextHTMLCharsetUTF8, h.page)
}

// answer answers with a text whose length is known.
func answer(c echo.Context, mediaType string, text []byte) error {
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(text)))
	return c.Blob(http.StatusOK, mediaType, text)
}
