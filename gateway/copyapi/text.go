package copyapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/providers"
	"casgate/providers/replicator"
)

// textType is the media type of extracted texts. A blob of the same bytes may have
// been uploaded as another type.
const textType = "text/plain; charset=utf-8"

// Text answers GET and HEAD of /v1/blobs/{digest}/text, and the same of a file.
func (h *Handlers) Text(c echo.Context) error {
	q, err := h.requestToMake(c)
	if err != nil {
		return err
	}
	if q.Provider = c.QueryParam("provider"); q.Provider == "" {
		if q.Provider, err = h.textProvider(); err != nil {
			return err
		}
	}
	request.StateOf(c).Record.Provider = q.Provider
	wait := h.Waits.ForResult(c.Request())
	defer wait.End()
	err = h.sendText(c, wait, q)
	isDamaged := errors.Is(err, cas.ErrObjectMissing) || errors.Is(err, cas.ErrObjectCorrupt)
	if isDamaged && !c.Response().Committed {
		err = h.sendText(c, wait, q) // the damage is known now, and the text is extracted again
	}
	return err
}

func (h *Handlers) sendText(c echo.Context, wait context.Context, q replicator.Request) error {
	text, err := h.Copies.Text(wait, q)
	if err != nil {
		return problem.WithBlob(err, q.Digest)
	}
	text.MediaType = textType
	return respond.Blob(c, h.Store, text, respond.BlobOptions{
		CacheControl: "private, no-cache, no-transform", // a new extraction may give another text
		Location:     h.URLs.Blob(text.Digest),
	})
}

// extractedDocument is what Moonshot's API answers for the content of a document: JSON,
// although its specification says text.
type extractedDocument struct {
	Content  string `json:"content"`
	FileType string `json:"file_type"`
	Filename string `json:"filename"`
	Title    string `json:"title"`
	Type     string `json:"type"`
}

// purposeExtract is the purpose of documents whose text is wanted.
const purposeExtract = "file-extract"

// ContentOrText answers GET of the content of a file where a provider's own API is served:
// the text of a document that was uploaded for it, as the provider answers it, and else
// the bytes.
func (h *Handlers) ContentOrText(provider string, content echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !h.extracts(provider) {
			return content(c)
		}
		file, _, err := h.Targets.FileBytes(c)
		if err != nil {
			return err
		}
		if file.Purpose != purposeExtract {
			return content(c)
		}
		q, err := h.requestWithBytes(c)
		if err != nil {
			return err
		}
		q.Provider = provider
		request.StateOf(c).Record.Provider = provider
		wait := h.Waits.ForResult(c.Request())
		defer wait.End()
		text, err := h.Copies.Text(wait, q)
		if err != nil {
			return problem.WithBlob(err, q.Digest)
		}
		whole, err := h.Store.Open(wait, text, 0, -1)
		if err != nil {
			return err
		}
		defer whole.Close()
		words := whole.Bytes
		if whole.Body != nil {
			if words, err = io.ReadAll(whole.Body); err != nil {
				return err
			}
		}
		return respond.OwnJSON(c, http.StatusOK, extractedDocument{
			Content: string(words), FileType: providers.BaseType(file.MediaType), Filename: file.Name, Type: "file",
		})
	}
}

// extracts reports whether a provider extracts texts.
func (h *Handlers) extracts(provider string) bool {
	return slices.ContainsFunc(h.Copies.Accounts(), func(p providers.Guarded) bool {
		_, ok := providers.Ability[providers.TextExtractor](p)
		return ok && p.Describe().Provider == provider
	})
}

// textProvider returns the first provider that extracts texts.
func (h *Handlers) textProvider() (string, error) {
	for _, p := range h.Copies.Accounts() {
		if _, ok := providers.Ability[providers.TextExtractor](p); ok {
			return p.Describe().Provider, nil
		}
	}
	why := "none of the providers configured extracts text"
	if _, unconfigured := h.Copies.Providers(); len(unconfigured) > 0 {
		why += "; not configured: " + strings.Join(slices.Sorted(slices.Values(unconfigured)), ", ")
	}
	return "", fmt.Errorf("%w: %s", providers.ErrProviderNotFound, why)
}
