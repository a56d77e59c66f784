package gateway

import (
	"fmt"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/providers"
)

// subject is what a request about copies is about: a blob by its digest, or by a
// file that refers to it.
type subject struct {
	digest cas.Digest // zero: the bytes of an imported file, which have not been taken in
	// name is what a file's copies are called, where the request doesn't say.
	name string
}

// subjectOf finds what a path is about.
func (g *Gateway) subjectOf(c echo.Context) (subject, error) {
	if c.Param("file") == "" {
		d, err := digestParam(c)
		return subject{digest: d}, err
	}
	id, err := textParam(c, "file")
	if err != nil {
		return subject{}, err
	}
	file, err := g.files.File(c.Request().Context(), id)
	return subject{file.Digest, copyName(file)}, fileNotFound(err, id)
}

// subjectWithBytes is subjectOf where the bytes are needed: those of an imported
// file are taken in.
func (g *Gateway) subjectWithBytes(c echo.Context) (subject, error) {
	of, err := g.subjectOf(c)
	if err != nil || !of.digest.IsZero() || c.Param("file") == "" {
		return of, err
	}
	file, blob, err := g.fileBytes(c)
	return subject{blob.Digest, copyName(file)}, err
}

// copyName is what a file is called at providers, who go by extensions: where the
// name has none it gets that of the media type.
func copyName(f cas.File) string {
	if providers.Extension(f.Name, "") != "" {
		return f.Name
	}
	return f.Name + providers.Extension("", f.MediaType)
}

// errNotTakenIn says why a file has no copies.
func errNotTakenIn() error {
	return fmt.Errorf("%w: the bytes of this imported file have not been taken in yet", providers.ErrCopyNotFound)
}
