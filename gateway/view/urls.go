// Package view gives blobs, files and copies the shapes that clients see, which
// package api declares.
package view

import (
	"net/url"
	"strings"

	"casgate/cas"
)

// FilesPath is the path of the list of files. Paths below it are about files too.
const FilesPath = "/v1/files"

// BlobsPath is the path of the list of blobs. A blob's is below it.
const BlobsPath = "/v1/blobs"

// UploadURLsPath is the path of upload URLs.
const UploadURLsPath = "/v1/upload-urls"

// TokensPath is the path of the list of tokens. A token's is below it.
const TokensPath = "/v1/tokens"

// URLs makes the public URLs of things.
type URLs struct {
	Base string // such as https://files.example.com, without a slash at the end
}

// Path returns the path of the base, without a slash at the end: a proxy may serve the
// gateway below one.
func (u URLs) Path() string {
	base, err := url.Parse(u.Base)
	if err != nil { // the settings are checked at the start
		return ""
	}
	return strings.TrimSuffix(base.EscapedPath(), "/")
}

// Blob returns the URL at which a blob is read.
func (u URLs) Blob(d cas.Digest) string { return u.Base + BlobPath(d) }

// File returns the URL of a file.
func (u URLs) File(id string) string { return u.Base + FilesPath + "/" + url.PathEscape(id) }

// Operation returns the URL of an operation.
func (u URLs) Operation(id string) string { return u.Base + "/v1/operations/" + url.PathEscape(id) }

// Token returns the URL of a token.
func (u URLs) Token(id string) string { return u.Base + TokensPath + "/" + url.PathEscape(id) }

// BlobPath returns the path of a blob.
func BlobPath(d cas.Digest) string { return BlobsPath + "/" + d.String() }
