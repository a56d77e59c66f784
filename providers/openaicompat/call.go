package openaicompat

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"casgate/providers"
)

const (
	// maxAnswer and maxListing bound the JSON of an answer, in bytes: a page may have
	// some ten thousand files.
	maxAnswer  = 1 << 20
	maxListing = 8 << 20
	// maxRefusal is how long an error may be that comes in the place of content.
	maxRefusal = 16 << 10
)

var errTooLong = errors.New("the answer is too long")

// Upload implements providers.Provider.
func (f *Files) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	limit := uploadTimeout + time.Duration(float64(u.Size)/uploadRate*float64(time.Second))
	call, cancel := context.WithTimeoutCause(ctx, limit, errNoAnswer)
	defer cancel()
	content, err := u.Open(call)
	if err != nil {
		return providers.RemoteFile{}, f.sourceFailed(ctx, err)
	}
	body, err := newForm(u, f.api.Fields, f.api.FieldsAfterFile, content)
	if err != nil {
		return providers.RemoteFile{}, f.Refuse(providers.OpUpload, "", err.Error(), errors.Join(err, content.Close()))
	}
	defer func() {
		cancel() // which ends a read of the content
		body.finish()
	}()
	var connected atomic.Bool
	request, err := f.request(traced(call, &connected), http.MethodPost, "/files", nil)
	if err != nil {
		return providers.RemoteFile{}, f.Refuse(providers.OpUpload, "", err.Error(), err)
	}
	request.Body, request.ContentLength = body, body.length
	request.Header.Set("Content-Type", body.contentType)

	response, err := f.http.Do(request)
	if err != nil {
		begun, failed := body.state()
		if failed != nil && call.Err() == nil {
			return providers.RemoteFile{}, f.sourceFailed(ctx, failed)
		}
		return providers.RemoteFile{}, f.broken(ctx, call, providers.OpUpload, begun || connected.Load(), err)
	}
	answer, err := f.read(ctx, call, providers.OpUpload, response, maxAnswer)
	if err != nil {
		return providers.RemoteFile{}, err
	}
	if !body.whole.Load() {
		return providers.RemoteFile{}, f.BadAnswer(providers.OpUpload, response.StatusCode, "the file was called stored before all of it was sent")
	}
	file, err := f.file(providers.OpUpload, response.StatusCode, answer)
	if err != nil {
		return providers.RemoteFile{}, err
	}
	return f.completed(file, u), nil
}

// traced notes when a request gets its connection. Before that nothing was sent.
func traced(ctx context.Context, connected *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
}

// call makes a request that may be repeated, and returns its answer, whole.
func (f *Files) call(ctx context.Context, op providers.Op, method, path string, query url.Values, limit int64) (status int, body []byte, err error) {
	call, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	request, err := f.request(call, method, path, query)
	if err != nil {
		return 0, nil, f.Refuse(op, "", err.Error(), err)
	}
	response, err := f.http.Do(request)
	if err != nil {
		return 0, nil, f.broken(ctx, call, op, true, err)
	}
	body, err = f.read(ctx, call, op, response, limit)
	return response.StatusCode, body, err
}

// read reads an answer to its end, and returns an error where it tells of one.
func (f *Files) read(caller, call context.Context, op providers.Op, response *http.Response, limit int64) ([]byte, error) {
	body, err := readAll(response, limit)
	if refused := f.refusal(op, response.StatusCode, response.Header, body); refused != nil {
		// What came says that the call failed, also where the rest of it did not come.
		return nil, refused
	}
	if errors.Is(err, errTooLong) {
		return nil, f.BadAnswer(op, response.StatusCode, err.Error())
	}
	if err != nil {
		return nil, f.broken(caller, call, op, true, err)
	}
	return body, nil
}

// readAll reads an answer's body and closes it.
func readAll(response *http.Response, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		body, err = nil, errTooLong
	}
	return body, errors.Join(err, response.Body.Close())
}

// Content streams a file's content. The caller closes it. Its Read fails where the
// provider sends nothing for half a minute.
func (f *Files) Content(ctx context.Context, op providers.Op, id string) (io.ReadCloser, error) {
	if err := f.checkID(op, id); err != nil {
		return nil, err
	}
	call, cancel := context.WithCancelCause(ctx)
	stalled := time.AfterFunc(answerTimeout, func() { cancel(errNoAnswer) })
	end := func() {
		stalled.Stop()
		cancel(nil)
	}
	request, err := f.request(call, http.MethodGet, "/files/"+url.PathEscape(id)+"/content", nil)
	if err != nil {
		end()
		return nil, f.Refuse(op, "", err.Error(), err)
	}
	request.Header.Set("Accept", "*/*")
	response, err := f.http.Do(request)
	if err != nil {
		defer end()
		return nil, f.broken(ctx, call, op, true, err)
	}
	if !success(response.StatusCode) {
		defer end()
		_, err := f.read(ctx, call, op, response, maxAnswer)
		return nil, err
	}
	stalled.Stop()
	s := &stream{files: f, op: op, caller: ctx, call: call, body: response.Body, stalled: stalled, end: end}
	s.src = bufio.NewReaderSize(streamBody{s}, maxRefusal)
	if err := s.refused(response); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// stream is the body of a long answer.
type stream struct {
	files        *Files
	op           providers.Op
	caller, call context.Context
	body         io.ReadCloser
	src          *bufio.Reader // of body
	stalled      *time.Timer
	end          func()
}

// refused returns the error that stands in the place of content: with status 200,
// but as JSON, and saying that it is one.
func (s *stream) refused(response *http.Response) error {
	if mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil
	}
	// A file that is longer, or doesn't come, is no refusal.
	body, err := s.src.Peek(maxRefusal)
	if err != io.EOF {
		return nil
	}
	return s.files.refusal(s.op, response.StatusCode, response.Header, body)
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) { return s.src.Read(p) }

// streamBody is a stream's body as it comes. Only the time spent in Read counts: a
// slow consumer is no fault of the provider's.
type streamBody struct{ *stream }

func (s streamBody) Read(p []byte) (int, error) {
	s.stalled.Reset(answerTimeout)
	n, err := s.body.Read(p)
	s.stalled.Stop()
	if err != nil && err != io.EOF {
		err = s.files.broken(s.caller, s.call, s.op, true, err)
	}
	return n, err
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.end()
	return s.body.Close()
}
