// Package console serves the console: a page for people, made of the files on disk in
// static. It has no rights of its own: its scripts use the public API.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed static
var static embed.FS

// policy is the Content-Security-Policy of the page: it runs its own scripts, and no
// others. Frames are for PDF documents.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// asset is a file on disk of the console, in both codings.
type asset struct {
	mediaType    string
	plain, gzip  []byte
	etag, gzETag string
}

// Handler answers GET and HEAD below /console/.
type Handler struct{ assets map[string]*asset }

// New returns the handler. An error means that the program was built wrong.
var New = sync.OnceValues(func() (*Handler, error) {
	h := &Handler{assets: map[string]*asset{}}
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		h.assets[strings.TrimPrefix(name, "static/")], err = newAsset(name, content)
		return err
	})
	if err == nil {
		h.assets[""] = h.assets["index.html"]
	}
	return h, err
})

func newAsset(name string, content []byte) (*asset, error) {
	var compressed bytes.Buffer
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	mediaType, ok := mediaTypes[path.Ext(name)]
	if !ok {
		return nil, fmt.Errorf("console: %s has no media type", name)
	}
	sum := sha256.Sum256(content)
	tag := hex.EncodeToString(sum[:12])
	return &asset{mediaType: mediaType, plain: content, gzip: compressed.Bytes(), etag: `"` + tag + `"`, gzETag: `"` + tag + `-gzip"`}, nil
}

// mediaTypes don't depend on the machine, unlike those of package mime.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// Serve answers a request for the asset with this name, such as "style.css"; "" is the
// page. It returns false, and answers nothing, if there is none.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request, name string) bool {
	a := h.assets[name]
	if a == nil {
		return false
	}
	header := w.Header()
	for field, value := range map[string]string{
		"Content-Security-Policy": policy, "Cross-Origin-Opener-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
		// no-referrer would make browsers send "Origin: null", which no check of origins can take.
		"Referrer-Policy": "same-origin",
		"Cache-Control":   "no-cache", "Content-Type": a.mediaType,
	} {
		header.Set(field, value)
	}
	header.Add("Vary", "Accept-Encoding")
	body, etag := a.plain, a.etag
	if acceptsGzip(r) {
		body, etag = a.gzip, a.gzETag
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return true
}

// acceptsGzip reports whether the browser takes gzip (RFC 9110, section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.TrimSpace(name) == "gzip" {
			_, q, found := strings.Cut(strings.ReplaceAll(weight, " ", ""), "q=")
			value, err := strconv.ParseFloat(q, 64)
			return !found || err == nil && value > 0
		}
	}
	return false
}

// AcceptsHTML reports whether a request is that of a browser that opens a page.
func AcceptsHTML(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if mediaType, _, err := mime.ParseMediaType(part); err == nil && mediaType == "text/html" {
			return true
		}
	}
	return false
}
