package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
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

// NewFile is what to say of a file that is made.
type NewFile struct {
	Name    string // of the file, without folders
	Purpose string // one of cas.Purposes
	// Size is how many bytes there are, where that is known, and else 0. With it the
	// gateway refuses what is too large before any is sent.
	Size int64
	// MediaType is what the bytes are; empty lets the gateway find out.
	MediaType string
	// Context is what files are grouped by: a conversation, a project.
	Context string
	Tags    []string
	// Metadata is a JSON object; empty means {}.
	Metadata json.RawMessage
	// Life is after which time the file is to be gone; 0: never.
	Life time.Duration
	// Providers are those to make copies at, in the background; the File's Asked says
	// what came of it.
	Providers []string
	// Unique refuses bytes that a file has already: the error then is
	// cas.ErrDuplicateFile, and an *Error with that file.
	Unique bool
}

// fields writes all but the bytes, up to where those begin.
func (n NewFile) fields(w *multipart.Writer) error {
	fields := [][2]string{{"purpose", n.Purpose}, {"media_type", n.MediaType}, {"context", n.Context}, {"metadata", string(n.Metadata)}}
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
	_, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("file", n.Name)},
		"Content-Type":        {cas.DefaultMediaType},
	})
	return err
}

// CreateFile stores what r yields, up to its end, as a file; where that isn't n.Size
// bytes none is made. It is tried again only as long as nothing was read of r. After an error a Read of r may still be under
// way, and the file may be there nevertheless.
func (c *Client) CreateFile(ctx context.Context, r io.Reader, n NewFile) (api.File, error) {
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	if err := n.fields(form); err != nil {
		return api.File{}, fmt.Errorf("describe the file: %w", err)
	}
	before := head.String()
	if err := form.Close(); err != nil {
		return api.File{}, fmt.Errorf("describe the file: %w", err)
	}
	after := head.String()[len(before):]

	length := int64(-1)
	if n.Size > 0 {
		length = int64(len(before)) + n.Size + int64(len(after))
		r = &sizedReader{src: r, left: n.Size}
	}
	stream := &stream{src: r, hash: sha256.New()}
	req := &request{
		method: http.MethodPost,
		path:   filesPath,
		header: http.Header{
			"Content-Type": {form.FormDataContentType()},
			"Expect":       {"100-continue"},
		},
		length:   length,
		mayRetry: stream.abandon,
		patient:  true,
		open: func() (io.ReadCloser, error) {
			body, err := stream.open()
			if err != nil {
				return nil, err
			}
			return struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(before), body, strings.NewReader(after)), body}, nil
		},
	}
	var file api.File
	if err := c.sendStream(ctx, req, &file); err != nil {
		return api.File{}, err
	}
	return file, stream.checkSent(file.Digest())
}

// sizedReader fails where src doesn't end after so many bytes.
type sizedReader struct {
	src  io.Reader
	left int64
}

func (r *sizedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > r.left+1 {
		p = p[:r.left+1] // one more shows whether that was all
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
	Tag        string // one of the file's
	NamePrefix string
	Digest     cas.Digest
	// Metadata is a JSON object that the file's metadata contains.
	Metadata json.RawMessage
	// Descending lists the newest first.
	Descending bool
	// PageSize is how many to ask for at a time; 0 means 1000.
	PageSize int
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
	if !o.Digest.IsZero() {
		q.Set("digest", o.Digest.String())
	}
	return q
}

// Files yields files by creation, and asks for each page as it is needed. An error
// is the last thing it yields. Where the last file of a page is deleted before the
// next page is asked for, that is one.
func (c *Client) Files(ctx context.Context, o FileListOptions) iter.Seq2[api.File, error] {
	return func(yield func(api.File, error) bool) {
		query := o.query()
		for {
			var page api.FileList
			r := &request{method: http.MethodGet, path: filesPath, query: maps.Clone(query), mayRetry: always}
			if err := c.doJSON(ctx, r, &page); err != nil {
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
			if *page.LastID == query.Get("after") {
				yield(api.File{}, fmt.Errorf("%s sends the same page of files again and again", c.base))
				return
			}
			query.Set("after", *page.LastID)
		}
	}
}
