package openaicompat

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/textproto"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// form is an upload's body, multipart/form-data of a length known beforehand. It
// reads the content as the connection takes it, and hands over the form's end, which
// alone makes it whole, only when the content has ended as it should.
type form struct {
	head        []byte
	tail        []byte
	content     io.ReadCloser
	left        int64 // of the content
	ended       bool  // the content has
	length      int64 // of the whole
	contentType string
	whole       atomic.Bool // all was handed over

	mu      sync.Mutex
	begun   bool          // something was read
	reading bool          // a Read is under way
	closed  bool          // nothing more is to be read
	failed  error         // the content's own error
	done    chan struct{} // closed with the content
}

var errFormClosed = errors.New("the request is over")

// newForm makes the body of an upload. It takes over the content.
func newForm(u providers.Upload, fields map[string]string, fieldsAfterFile bool, content io.ReadCloser) (*form, error) {
	var head, tail bytes.Buffer
	w := multipart.NewWriter(&head)
	if err := w.SetBoundary("casgate-" + rand.Text()); err != nil {
		return nil, fmt.Errorf("making a form: %w", err)
	}
	writeFields := func(w *multipart.Writer) error {
		if u.Purpose != "" {
			if err := w.WriteField("purpose", u.Purpose); err != nil {
				return err
			}
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if err := w.WriteField(name, fields[name]); err != nil {
				return err
			}
		}
		return nil
	}
	writeFile := func() error {
		_, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {multipart.FileContentDisposition("file", u.Name)},
			"Content-Type":        {partType(u.MediaType)},
		})
		return err
	}
	var err error
	if !fieldsAfterFile {
		err = writeFields(w)
	}
	err = errors.Join(err, writeFile())
	// A second writer with the same boundary writes what follows the content. Its
	// first boundary lacks the line break that ends the part before it.
	if fieldsAfterFile {
		tail.WriteString("\r\n")
		after := multipart.NewWriter(&tail)
		err = errors.Join(err, after.SetBoundary(w.Boundary()), writeFields(after), after.Close())
	} else {
		tail.WriteString("\r\n--" + w.Boundary() + "--\r\n")
	}
	if err != nil {
		return nil, fmt.Errorf("making a form: %w", err)
	}
	return &form{
		head: head.Bytes(), tail: tail.Bytes(), content: content, left: u.Size,
		length:      int64(head.Len()) + u.Size + int64(tail.Len()),
		contentType: w.FormDataContentType(),
		done:        make(chan struct{}),
	}, nil
}

// partType returns the media type to declare for a file. One that is malformed
// could break out of its header.
func partType(mediaType string) string {
	base, parameters, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return cas.DefaultMediaType
	}
	if formatted := mime.FormatMediaType(base, parameters); formatted != "" {
		return formatted
	}
	return base
}

// Read implements io.Reader.
func (f *form) Read(p []byte) (int, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return 0, errFormClosed
	}
	f.begun, f.reading = true, true
	f.mu.Unlock()

	n, failed, err := f.next(p)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = false
	if failed != nil {
		f.failed, err = failed, failed
	}
	if f.closed {
		// Close came meanwhile, and left the content to us. Nobody can be told of this
		// error, and all that was needed of the content has been read.
		_ = f.content.Close()
		close(f.done)
	}
	return n, err
}

// next reads on; failed is an error of the content's own.
func (f *form) next(p []byte) (n int, failed, err error) {
	if len(p) == 0 {
		return 0, nil, nil
	}
	if len(f.head) > 0 {
		n = copy(p, f.head)
		f.head = f.head[n:]
		return n, nil, nil
	}
	if f.left > 0 {
		n, failed = f.nextContent(p)
		return n, failed, nil
	}
	if !f.ended {
		if failed = f.end(); failed != nil {
			return 0, failed, nil
		}
	}
	if len(f.tail) == 0 {
		return 0, nil, io.EOF
	}
	n = copy(p, f.tail)
	f.tail = f.tail[n:]
	if len(f.tail) == 0 {
		f.whole.Store(true)
	}
	return n, nil, nil
}

func (f *form) nextContent(p []byte) (int, error) {
	if int64(len(p)) > f.left {
		p = p[:f.left]
	}
	n, err := f.content.Read(p)
	f.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
		return n, err
	case f.left > 0:
		return n, fmt.Errorf("the content ended %d bytes too early: %w", f.left, io.ErrUnexpectedEOF)
	}
	f.ended = true
	return n, nil
}

// end reads the content's end, which is where a source that verifies itself may
// say that it was wrong.
func (f *form) end() error {
	var one [1]byte
	for range 100 { // an empty read without an error is allowed, though not for ever
		n, err := f.content.Read(one[:])
		switch {
		case n > 0:
			return errors.New("the content is longer than it was said to be")
		case err == io.EOF:
			f.ended = true
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// Close implements io.Closer. It may be called while a Read is under way, from
// another goroutine, and more than once; the content is closed once, and not under
// a Read.
func (f *form) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.reading {
		return nil
	}
	defer close(f.done)
	return f.content.Close()
}

// finish closes the form, and waits for a Read under way to end, with which the
// content is closed. Content that doesn't heed its context is not waited for.
func (f *form) finish() {
	// That the content can't be closed changes nothing of what became of the upload.
	_ = f.Close()
	patience := time.NewTimer(contentPatience)
	defer patience.Stop()
	select {
	case <-f.done:
	case <-patience.C:
	}
}

// contentPatience is how long a cancelled read of an upload's content is waited
// for.
const contentPatience = time.Second

// state tells whether anything was read of the form, and the content's own error.
func (f *form) state() (begun bool, failed error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun, f.failed
}
