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

// form is an upload's body: multipart/form-data of known length. It reads the content
// as fast as the connection takes it. It yields the end of the form only after the
// content ended without an error; without its end a form is incomplete.
type form struct {
	head        []byte
	tail        []byte
	content     io.ReadCloser
	left        int64 // of the content
	held        bool  // the last byte of the content is still to be read, after those left
	ended       bool  // the content has ended
	length      int64 // of the whole body, in bytes
	contentType string
	whole       atomic.Bool // all was read

	mu      sync.Mutex
	watch   *watchdog     // runs between two Reads; nil: none
	begun   bool          // a Read was called
	reading bool          // a Read is under way
	closed  bool          // Close was called
	failed  error         // the error of reading the content
	done    chan struct{} // closed with the content
}

var errFormClosed = errors.New("the request is over")

// newForm makes the body of an upload to this API. Closing the form closes the
// content.
func (a API) newForm(u providers.Upload, content io.ReadCloser) (*form, error) {
	var head, tail bytes.Buffer
	w := multipart.NewWriter(&head)
	if err := w.SetBoundary("casgate-" + rand.Text()); err != nil {
		return nil, fmt.Errorf("making a form: %w", err)
	}
	writeFields := func(w *multipart.Writer) error {
		if u.Purpose != "" && !a.NoPurposes {
			if err := w.WriteField("purpose", u.Purpose); err != nil {
				return err
			}
		}
		for _, name := range slices.Sorted(maps.Keys(a.Fields)) {
			if err := w.WriteField(name, a.Fields[name]); err != nil {
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
	if !a.FieldsAfterFile {
		err = writeFields(w)
	}
	err = errors.Join(err, writeFile())
	// A second writer with the same boundary writes the fields after the content. It
	// doesn't write the line break before its first boundary.
	if a.FieldsAfterFile {
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

// newPlain makes a body that is the content alone. It yields the last byte only after
// the content ended without an error.
func newPlain(u providers.Upload, content io.ReadCloser) *form {
	return &form{content: content, left: max(u.Size-1, 0), held: u.Size > 0, length: u.Size, done: make(chan struct{})}
}

// partType returns the media type for the file's part. A malformed media type could
// inject a header.
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
	if f.watch != nil {
		f.watch.stop(0)
	}
	f.mu.Unlock()

	n, failed, err := f.next(p)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = false
	if failed != nil {
		f.failed, err = failed, failed
	}
	if f.watch != nil && err == nil && !f.closed && !f.whole.Load() {
		// The connection takes these bytes before it reads more.
		f.watch.stop(n)
		f.watch.start()
	}
	if f.closed {
		// Close was called during this Read and left the content open. Its error has no
		// receiver, and the upload needs no more of the content.
		_ = f.content.Close()
		close(f.done)
	}
	return n, err
}

// next reads the next bytes. The error failed is one of the content.
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
	case f.left > 0 || f.held:
		return n, f.tooEarly()
	}
	f.ended = true
	return n, nil
}

func (f *form) tooEarly() error {
	left := f.left
	if f.held {
		left++
	}
	return fmt.Errorf("the content ended %d bytes too early: %w", left, io.ErrUnexpectedEOF)
}

// end reads the end of the content, where a verifying source returns its error.
func (f *form) end() error {
	var one [1]byte
	if f.held {
		switch _, err := io.ReadFull(f.content, one[:]); {
		case err == io.EOF:
			return f.tooEarly()
		case err != nil:
			return err
		}
		f.tail, f.held = []byte{one[0]}, false
	}
	for range 100 { // an empty read without an error is allowed, but not forever
		n, err := f.content.Read(one[:])
		switch {
		case n > 0:
			return errors.New("the content is longer than its stated size")
		case err == io.EOF:
			f.ended = true
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// Close implements io.Closer. Another goroutine may call it during a Read, and more
// than once. It closes the content once, and never during a Read.
func (f *form) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.watch != nil {
		f.watch.stop(0)
	}
	if f.reading {
		return nil
	}
	defer close(f.done)
	return f.content.Close()
}

// finish closes the form, and waits at most contentPatience until a running Read has
// ended and the content is closed.
func (f *form) finish() {
	// An error of closing the content doesn't change the upload's outcome.
	_ = f.Close()
	patience := time.NewTimer(contentPatience)
	defer patience.Stop()
	select {
	case <-f.done:
	case <-patience.C:
	}
}

// contentPatience is how long finish waits for a cancelled read of the content.
const contentPatience = time.Second

// state returns whether a Read was called, and the error of reading the content.
func (f *form) state() (begun bool, failed error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun, f.failed
}
