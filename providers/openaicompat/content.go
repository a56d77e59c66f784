package openaicompat

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"casgate/providers"
)

// maxRefusal is the maximum length, in bytes, of an error that a provider sends in
// place of content.
const maxRefusal = 16 << 10

// Content streams a file's content. For OpText it is the text in UTF-8, whatever charset
// the answer declares. The caller closes the stream. Read fails if the provider sends
// nothing for 30 s, or less than 1 KiB a second after the first 5 minutes.
func (c *Client) Content(ctx context.Context, op providers.Op, id string) (io.ReadCloser, error) {
	s, err := c.openStream(ctx, op, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// TextContent is Content for OpText. It returns the media type of the answer, too, without
// parameters; it is empty if the answer has none.
func (c *Client) TextContent(ctx context.Context, id string) (content io.ReadCloser, mediaType string, err error) {
	s, err := c.openStream(ctx, providers.OpText, id)
	if err != nil {
		return nil, "", err
	}
	return s, s.mediaType, nil
}

func (c *Client) openStream(ctx context.Context, op providers.Op, id string) (*stream, error) {
	if err := c.checkID(op, id); err != nil {
		return nil, err
	}
	call, cancel := context.WithCancelCause(ctx)
	watch := &watchdog{cancel: cancel, idle: answerTimeout, idleErr: errNoAnswer}
	end := func() { cancel(nil) }
	watch.start()
	request, err := c.request(call, http.MethodGet, "/files/"+url.PathEscape(id)+"/content", nil)
	if err != nil {
		defer end()
		return nil, c.Refuse(op, "", err.Error(), err)
	}
	request.Header.Set("Accept", "*/*")
	response, err := c.http.Do(request)
	if err != nil {
		defer end()
		return nil, c.broken(ctx, call, op, true, err)
	}
	if !success(response.StatusCode) {
		defer end()
		_, err := c.read(ctx, call, op, response, maxAnswer)
		return nil, err
	}
	watch.stop(0)
	s := &stream{client: c, op: op, caller: ctx, call: call, body: response.Body, watch: watch, end: end}
	s.src = bufio.NewReaderSize(streamBody{s}, maxRefusal)
	if mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err == nil {
		s.mediaType = mediaType
	}
	if err := s.refused(response); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.content = s.src
	if op == providers.OpText {
		s.content = textReader(response.Header.Get("Content-Type"), s.src)
	}
	return s, nil
}

// stream is the body of a long answer.
type stream struct {
	client       *Client
	op           providers.Op
	mediaType    string // of the answer, without parameters
	caller, call context.Context
	body         io.ReadCloser
	src          *bufio.Reader // of body
	content      io.Reader     // of src, decoded if it is text
	watch        *watchdog     // of reads of the body
	end          func()
}

// refused returns the error that a provider sent in place of content: JSON with status
// 200 that says that the call failed. Otherwise it returns nil.
func (s *stream) refused(response *http.Response) error {
	if s.mediaType != "application/json" {
		return nil
	}
	// A longer body, or one that breaks off, is not a refusal.
	body, err := s.src.Peek(maxRefusal)
	if err != io.EOF {
		return nil
	}
	return s.client.refusal(s.op, response.StatusCode, response.Header, decoded(response.Header.Get("Content-Type"), body))
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.content.Read(p)
	if errors.Is(err, errCharset) {
		err = s.client.failure(providers.Error{
			Op: s.op, Kind: providers.KindPermanent, Status: http.StatusOK, Code: providers.CodeBadAnswer, Message: err.Error(),
		})
	}
	return n, err
}

// streamBody is a stream's body without the buffer.
type streamBody struct{ *stream }

func (s streamBody) Read(p []byte) (int, error) {
	s.watch.start()
	n, err := s.body.Read(p)
	s.watch.stop(n)
	if err != nil && err != io.EOF {
		err = s.client.broken(s.caller, s.call, s.op, true, err)
	}
	return n, err
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.end()
	return s.body.Close()
}
