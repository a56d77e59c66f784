package chatapi

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"

	"casgate/providers"
)

// decode undoes the compression of an answer, for which no request asks. The client's
// program has not asked for it either, and its bytes could not be looked at. An answer in
// another coding is an error.
func decode(provider string, answer *http.Response) error {
	coding := strings.Join(answer.Header.Values("Content-Encoding"), ",")
	switch strings.ToLower(strings.TrimSpace(coding)) {
	case "":
		return nil
	case "identity":
		answer.Header.Del("Content-Encoding")
		return nil
	case "gzip", "x-gzip":
		answer.Header.Del("Content-Encoding")
		answer.Header.Del("Content-Length")
		answer.ContentLength, answer.Uncompressed = -1, true
		answer.Body = &unzipped{ReadCloser: answer.Body}
		return nil
	}
	return badAnswer(provider, answer.StatusCode, fmt.Sprintf("the provider's answer has the content coding %.100q, for which the gateway did not ask", coding), "")
}

// unzipped is the decoded body of an answer. It reads nothing before its first Read.
type unzipped struct {
	io.ReadCloser
	reader *gzip.Reader
	err    error
}

// Read implements io.Reader.
func (u *unzipped) Read(p []byte) (int, error) {
	if u.reader == nil && u.err == nil {
		u.reader, u.err = gzip.NewReader(u.ReadCloser) // io.EOF if there is no byte
	}
	if u.err != nil {
		return 0, u.err
	}
	return u.reader.Read(p)
}

// badAnswer returns the error for an answer that can't be passed on. The same request gets it
// again, until an operator changes something.
func badAnswer(provider string, status int, message, hint string) error {
	return &providers.Error{
		Provider: provider, Op: providers.OpChat, Kind: providers.KindPermanent, Code: providers.CodeBadAnswer, Status: status,
		Message: message, Hint: hint,
	}
}

// redirected returns the error for an answer that sends the client elsewhere.
func redirected(provider string, status int) error {
	return badAnswer(provider, status, fmt.Sprintf("the provider redirects the request (%d)", status), "set the URL of its chats at the gateway")
}

// switched returns the error for an answer that changes the protocol.
func switched(provider string, status int) error {
	return badAnswer(provider, status, fmt.Sprintf("the provider answered with the status %d, which ends no request", status), "")
}
