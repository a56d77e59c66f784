package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
)

const filesPath = "/v1/files"

func filePath(id string) string { return filesPath + "/" + url.PathEscape(id) }

// NewFile describes a file to create.
type NewFile struct {
	Name    string // of the file, without folders
	Purpose string // one of cas.Purposes
	// Size is the number of bytes; 0 if it isn't known. With it, the gateway refuses a
	// file that is too large before any byte is sent.
	Size int64
	// MediaType of the bytes; empty lets the gateway detect it.
	MediaType string
	// Context groups files, such as those of a conversation or a project.
	Context string
	Tags    []string
	// Metadata is a JSON object; empty means {}.
	Metadata json.RawMessage
	// Life is the time after which the file expires; 0: never.
	Life time.Duration
	// OnExpiry is cas.OnExpiryEverywhere to delete the file's blob, its copies and its texts
	// with the file when it expires, unless other files refer to the blob. It needs a Life,
	// and a token with the scopes delete and sync.
	OnExpiry string
	// Providers are where the gateway makes copies, in the background. The File's Asked
	// has the results.
	Providers []string
	// Unique refuses bytes that another file has. The error is then an *Error with that
	// file, and matches cas.ErrDuplicateFile.
	Unique bool
	// IdempotencyKey makes repetitions of this upload one: for a day, the gateway answers
	// the same upload with the same key with the file that the first one created. Another
	// upload with the key is an error that wraps cas.ErrKeyReused. Empty: the client makes a
	// key for each call, so that its own repetitions create one file.
	IdempotencyKey string

	digest *cas.Digest // that the gateway checks the bytes against; nil: none
}

// key returns the idempotency key to send.
func (n NewFile) key() string { return cmp.Or(n.IdempotencyKey, newIdempotencyKey()) }

// newIdempotencyKey returns a key that no other upload has.
func newIdempotencyKey() string { return rand.Text() }

const headerIdempotencyKey = "Idempotency-Key"

// fields writes all fields of the form, and the header of the part with the bytes.
func (n NewFile) fields(w *multipart.Writer) error {
	fields := [][2]string{{"purpose", n.Purpose}, {"media_type", n.MediaType}, {"context", n.Context}, {"metadata", string(n.Metadata)}, {"on_expiry", n.OnExpiry}}
	for _, tag := range n.Tags {
		fields = append(fields, [2]string{"tags", tag})
	}
	if n.Life != 0 {
		fields = append(fields, [2]string{"expires_after[anchor]", "created_at"},
			[2]string{"expires_after[seconds]", strconv.FormatInt(int64(n.Life/time.Second), 10)})
	}
	if len(n.Providers) > 0 {
		fields = append(fields, [2]string{"providers", strings.Join(n.Providers, ",")})
	}
	if n.Unique {
		fields = append(fields, [2]string{"allow_duplicates", "false"})
	}
	for _, field := range fields {
		if field[1] == "" && field[0] != "purpose" {
			continue
		}
		if err := w.WriteField(field[0], field[1]); err != nil {
			return err
		}
	}
	part := textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("file", n.Name)},
		"Content-Type":        {cas.DefaultMediaType},
	}
	if n.digest != nil {
		part.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(n.digest[:])+":")
	}
	_, err := w.CreatePart(part)
	return err
}

// CreateFile stores all that it reads from r as a file. If n.Size is set and r has
// another size, no file is created. CreateFile is retried only if nothing was read from
// r yet. After an error, a Read of r may still be running, and the file may exist; a
// repetition with the same n.IdempotencyKey then returns that file.
func (c *Client) CreateFile(ctx context.Context, r io.Reader, n NewFile) (api.File, error) {
	if n.Size > 0 {
		r = &sizedReader{src: r, left: n.Size}
	}
	stream := &stream{src: r, hash: sha256.New()}
	req, err := n.form(stream.open)
	if err != nil {
		return api.File{}, err
	}
	req.mayRetry = stream.abandon
	var file api.File
	if err := c.sendStream(ctx, req, &file); err != nil {
		return api.File{}, err
	}
	return file, stream.checkSent(file.Digest())
}

// form returns the request that sends the file in a form. Open opens the bytes for each
// attempt.
func (n NewFile) form(open func() (io.ReadCloser, error)) (*request, error) {
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	if err := n.fields(form); err != nil {
		return nil, fmt.Errorf("describe the file: %w", err)
	}
	before := head.String()
	if err := form.Close(); err != nil {
		return nil, fmt.Errorf("describe the file: %w", err)
	}
	after := head.String()[len(before):]

	length := int64(-1)
	if n.Size > 0 {
		length = int64(len(before)) + n.Size + int64(len(after))
	}
	return &request{
		method: http.MethodPost,
		path:   filesPath,
		header: http.Header{
			"Content-Type":       {form.FormDataContentType()},
			"Expect":             {"100-continue"},
			headerIdempotencyKey: {n.key()},
		},
		length: length,
		upload: true,
		open: func() (io.ReadCloser, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			return struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(before), body, strings.NewReader(after)), body}, nil
		},
	}, nil
}

// CreateFileFromBlob creates a file of a blob that the gateway has, and sends no bytes;
// n.Size has no meaning. The error matches cas.ErrBlobNotFound if the gateway needs the
// bytes, or if the token lacks the scope read: to such a token, a digest alone tells
// nothing. CreateFileFromBlob is retried.
func (c *Client) CreateFileFromBlob(ctx context.Context, d cas.Digest, n NewFile) (api.File, error) {
	body := api.FileFromBlob{
		Digest: &d, Filename: n.Name, Purpose: n.Purpose, MediaType: n.MediaType, Context: n.Context, Tags: n.Tags,
		Metadata: n.Metadata, OnExpiry: n.OnExpiry, Providers: n.Providers,
	}
	if n.Life != 0 {
		body.ExpiresAfter = &api.ExpiresAfter{Anchor: api.AnchorCreatedAt, Seconds: int64(n.Life / time.Second)}
	}
	if n.Unique {
		body.AllowDuplicates = new(false)
	}
	r := &request{method: http.MethodPost, path: filesPath, mayRetry: always}
	if err := r.jsonBody(body); err != nil {
		return api.File{}, fmt.Errorf("describe the file: %w", err)
	}
	r.header.Set(headerIdempotencyKey, n.key())
	var file api.File
	if err := c.doJSON(ctx, r, &file); err != nil {
		return api.File{}, err
	}
	if file.Digest() != d {
		return api.File{}, fmt.Errorf("the gateway says that it made a file of %s, and was asked for one of %s", file.Digest(), d)
	}
	return file, nil
}

// PutFile stores the content as a file. It asks first, and sends the bytes only if the
// gateway needs them. If the content no longer has the digest of the source, the error
// wraps cas.ErrDigestMismatch. PutFile is retried, and its repetitions create one file.
func (c *Client) PutFile(ctx context.Context, s Source, n NewFile) (file api.File, sent bool, err error) {
	n.IdempotencyKey = n.key() // the same for both requests
	file, err = c.CreateFileFromBlob(ctx, s.Digest, n)
	if !errors.Is(err, cas.ErrBlobNotFound) {
		return file, false, err
	}
	n.Size, n.digest = s.Size, &s.Digest
	r, err := n.form(func() (io.ReadCloser, error) {
		content, err := s.Open()
		if err != nil {
			return nil, err
		}
		return &sourceBody{ReadCloser: content, left: s.Size}, nil
	})
	if err != nil {
		return api.File{}, false, err
	}
	r.mayRetry = always
	err = c.doJSON(ctx, r, &file)
	switch {
	case errors.Is(err, cas.ErrDigestMismatch):
		return api.File{}, true, fmt.Errorf("the content changed while it was read, and was not stored; try again: %w", err)
	case err != nil:
		return api.File{}, true, err
	case file.Digest() != s.Digest:
		return api.File{}, true, fmt.Errorf("the gateway says that it made a file of %s, and was sent %s", file.Digest(), s.Digest)
	}
	return file, true, nil
}

// sizedReader fails if src doesn't have exactly so many bytes.
type sizedReader struct {
	src  io.Reader
	left int64
}

func (r *sizedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > r.left+1 {
		p = p[:r.left+1] // one more byte shows whether src goes on
	}
	n, err := r.src.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return n - 1, errors.New("there are more bytes than its size said; did it change?")
	}
	if err == io.EOF && r.left > 0 {
		return n, fmt.Errorf("it ended %d bytes before its size said; did it change?", r.left)
	}
	return n, err
}

// FileListOptions select files. The zero value of each field selects all.
type FileListOptions struct {
	Purpose    string
	Context    string
	Tag        string // one of the file's tags
	NamePrefix string
	Digest     *cas.Digest
	// Metadata is a JSON object; the metadata of the file contains it.
	Metadata json.RawMessage
	// Descending lists the newest first.
	Descending bool
	// PageSize is how many to ask for at a time; 0 means 1000.
	PageSize int
	// After is the LastID of a page. It selects the files after that page.
	After string
}

func (o FileListOptions) query() url.Values {
	q := url.Values{"order": {"asc"}, "limit": {strconv.Itoa(cmp.Or(o.PageSize, 1000))}}
	if o.Descending {
		q.Set("order", "desc")
	}
	setText(q, "purpose", o.Purpose)
	setText(q, "context", o.Context)
	setText(q, "tag", o.Tag)
	setText(q, "name_prefix", o.NamePrefix)
	setText(q, "metadata", string(o.Metadata))
	setText(q, "after", o.After)
	if o.Digest != nil {
		q.Set("digest", o.Digest.String())
	}
	return q
}

// Files yields files by the time of their creation, and requests each page when it is
// needed. An error is the last value. It is an error if the last file of a page is
// deleted before the next page is requested.
func (c *Client) Files(ctx context.Context, o FileListOptions) iter.Seq2[api.File, error] {
	return func(yield func(api.File, error) bool) {
		for {
			page, err := c.FilePage(ctx, o)
			if err != nil {
				yield(api.File{}, err)
				return
			}
			for _, file := range page.Data {
				if !yield(file, nil) {
					return
				}
			}
			if !page.HasMore || page.LastID == nil {
				return
			}
			if *page.LastID == o.After {
				yield(api.File{}, fmt.Errorf("%s sends the same page of files again and again", c.base))
				return
			}
			o.After = *page.LastID
		}
	}
}

// FilePage returns one page of files, by the time of their creation.
func (c *Client) FilePage(ctx context.Context, o FileListOptions) (api.FileList, error) {
	var page api.FileList
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: filesPath, query: o.query(), mayRetry: always}, &page)
	return page, err
}
