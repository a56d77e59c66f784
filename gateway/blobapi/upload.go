package blobapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/blobtarget"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// Put answers PUT /v1/blobs/{digest}.
func (h *Handlers) Put(c echo.Context) error {
	d, err := request.Digest(c)
	if err != nil {
		return err
	}
	copiesAt, err := h.UploadCopies.FromQuery(c)
	if err != nil {
		return err
	}
	upload, err := h.Uploads.Raw(c)
	if err != nil {
		return err
	}
	if upload.Digest != nil && *upload.Digest != d {
		return fmt.Errorf("%w: the digest field names %s, and the path %s", cas.ErrDigestMismatch, upload.Digest, d)
	}
	upload.Digest = &d
	exists := func() (bool, error) {
		_, err := h.Store.Blob(c.Request().Context(), d)
		if errors.Is(err, cas.ErrBlobNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	if err := request.CheckUpload(c.Request().Header, request.ETag(d), exists); err != nil {
		return err
	}
	return h.take(c, upload, postOptions{copiesAt: copiesAt})
}

// postOptions are what an upload asks for besides the blob.
type postOptions struct {
	copiesAt []string // providers
	key      *request.IdempotencyKey
}

// Post answers POST /v1/blobs.
func (h *Handlers) Post(c echo.Context) error {
	copiesAt, err := h.UploadCopies.FromQuery(c)
	if err != nil {
		return err
	}
	key, err := request.ReadIdempotencyKey(c)
	if err != nil {
		return err
	}
	options := postOptions{copiesAt: copiesAt, key: key}
	boundary, isForm := request.IsForm(c.Request())
	if isForm {
		return h.postForm(c, boundary, options)
	}
	upload, err := h.Uploads.Raw(c)
	if err != nil {
		return err
	}
	return h.take(c, upload, options)
}

// postForm takes the one file part of a multipart/form-data body.
func (h *Handlers) postForm(c echo.Context, boundary string, options postOptions) error {
	form, err := request.OpenForm(c, boundary, request.FormOptions{Uploads: h.Uploads})
	if err != nil {
		return err
	}
	name, err := request.CleanName(form.FileName())
	if given := c.QueryParam("name"); given != "" {
		name, err = request.CleanName(given)
	}
	if err != nil {
		return err
	}
	upload, err := form.Upload(c.Request())
	if err != nil {
		return err
	}
	upload.Name = name
	return h.take(c, upload, options)
}

// keepTimeout limits the record of an idempotency key after the upload.
const keepTimeout = 15 * time.Second

// take stores an upload, begins the copies that it asks for, and answers.
func (h *Handlers) take(c echo.Context, upload cas.Upload, options postOptions) error {
	defer request.StopBody(c)
	key := options.key.For(askedBlob{"blob", upload.Name, upload.MediaType, options.copiesAt})
	put := h.putOf(c, upload)
	var blob cas.Blob
	var stored bool
	err := h.Files.Keyed(c.Request().Context(), key, upload, func(u cas.Upload) (err error) {
		if blob, stored, err = put(c.Request().Context(), u); err != nil || key == nil {
			return err
		}
		keep, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), keepTimeout) // a client that has left may come again
		defer cancel()
		stored, err = h.Files.KeepUpload(keep, *key, cas.KeptUpload{Digest: blob.Digest, Stored: stored})
		return err
	})
	request.StateOf(c).Record.Digest = blob.Digest
	if err != nil {
		return err
	}
	return h.answerUpload(c, blob, stored, h.UploadCopies.Begin(c, blobtarget.Target{Digest: blob.Digest, Name: upload.Name, MediaType: upload.MediaType}, options.copiesAt))
}

// askedBlob is what makes two uploads with the same idempotency key the same request, besides
// the bytes.
type askedBlob struct {
	Kind, Name, MediaType string
	CopiesAt              []string
}

// putOf returns what stores an upload. If the blob exists already, the body is read and verified all
// the same, which also keeps the connection usable. A client that waits for 100
// Continue has sent no body yet, and need not send it, unless the body is a form, of
// which the beginning has been read, or the client names no digest. A token that may not read has to send the bytes: it
// must not learn of a blob, nor of its size, by guessing.
func (h *Handlers) putOf(c echo.Context, upload cas.Upload) func(context.Context, cas.Upload) (cas.Blob, bool, error) {
	_, isForm := upload.Body.(*request.Form)
	if !isForm && upload.Digest != nil && request.WaitsForContinue(c.Request()) && request.StateOf(c).MayRead {
		return h.Store.Put
	}
	return h.Store.PutVerified
}

// answerUpload answers 201 if the upload brought the bytes, else 200.
func (h *Handlers) answerUpload(c echo.Context, blob cas.Blob, stored bool, copies []api.AskedCopy) error {
	header := c.Response().Header()
	header.Set(echo.HeaderLocation, h.URLs.Blob(blob.Digest))
	header["Etag"] = []string{request.ETag(blob.Digest)}
	header[request.HeaderReprDigest] = []string{request.FormatDigest(blob.Digest)}
	answer := view.Blob(blob, h.URLs)
	deduplicated := !stored
	answer.Deduplicated = &deduplicated
	answer.Asked = copies
	if stored {
		return respond.JSON(c, http.StatusCreated, answer)
	}
	return respond.JSON(c, http.StatusOK, answer)
}
