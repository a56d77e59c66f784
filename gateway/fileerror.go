package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

const filesPath = "/v1/files"

// isFilesPath reports whether a path is one of those whose errors have the shape
// of OpenAI's API.
func isFilesPath(path string) bool {
	rest, ok := strings.CutPrefix(path, filesPath)
	return ok && (rest == "" || rest[0] == '/')
}

// duplicateError is a cas.ErrDuplicateFile with the file that is there.
type duplicateError struct{ file cas.File }

func (e *duplicateError) Error() string {
	return fmt.Sprintf("%v: %s has the same bytes, and allow_duplicates is false; nothing was created", cas.ErrDuplicateFile, e.file.ID)
}

func (e *duplicateError) Unwrap() error { return cas.ErrDuplicateFile }

// fileNotFound says which file isn't there.
func fileNotFound(err error, id string) error {
	if errors.Is(err, cas.ErrFileNotFound) {
		return problem.WithParam("id", fmt.Errorf("%w: %.100q was deleted, has expired, or never was", cas.ErrFileNotFound, id))
	}
	return err
}

// fileError gives a problem the shape of OpenAI's API. That API tells a missing
// file, and what conflicts, from other wrong requests by the status alone.
func (g *Gateway) fileError(err error, p problem.Details) api.FileError {
	body := api.ErrorBody{
		Message: p.Detail, Code: p.Code,
		Provider: p.Provider, ProviderCode: p.ProviderCode, ProviderMessage: p.ProviderMessage,
	}
	if body.Message == "" {
		body.Message = p.Title
	}
	switch {
	case p.Status == http.StatusUnauthorized:
		body.Type = api.ErrorAuthentication
	case p.Status == http.StatusForbidden:
		body.Type = api.ErrorPermission
	case p.Status == http.StatusTooManyRequests:
		body.Type = api.ErrorRateLimit
	case p.Status >= 500:
		body.Type = api.ErrorServer
	default:
		body.Type = api.ErrorInvalidRequest
	}
	if p.Param != "" {
		body.Param = &p.Param
	}
	if e, ok := errors.AsType[*duplicateError](err); ok {
		file := g.apiFile(e.file)
		body.File = &file
	}
	return api.FileError{Error: body}
}
