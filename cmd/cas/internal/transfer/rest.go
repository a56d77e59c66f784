package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"

	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// rest reads a blob from an offset to its end. It sends the request at the first Read. It
// verifies nothing: only the whole has a digest.
type rest struct {
	ctx    context.Context // of the transfer
	from   *Origin
	offset int64              // of the next byte
	size   int64              // of the whole blob
	bars   *terminal.Progress // nil: no bar is shown
	name   string             // in the bar; empty: the digest
	body   io.ReadCloser      // nil: nothing is asked for yet
}

func (r *rest) Read(p []byte) (int, error) {
	if r.offset > 0 && r.offset == r.size {
		return 0, io.EOF // there is no rest to ask for
	}
	if r.body == nil {
		if _, err := r.open(); err != nil {
			return 0, err
		}
	}
	n, err := r.body.Read(p)
	r.offset += int64(n)
	return n, err
}

func (r *rest) open() (client.Info, error) {
	content, err := r.from.open(r.ctx, r.offset)
	if err != nil {
		return client.Info{}, err
	}
	r.body = content.Unverified()
	if r.bars != nil {
		r.body = r.bars.Reader(r.body, terminal.Transfer{Verb: "fetching", Name: cmp.Or(r.name, content.Digest.Short()), From: r.offset, Size: content.Size})
	}
	if content.Offset < r.offset { // the gateway sends the whole
		_, err = io.CopyN(io.Discard, content.Unverified(), r.offset)
	}
	return content.Info, err
}

// Close ends the request, if there is one.
func (r *rest) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// stream reads a blob from its first byte to its last. After a lost connection it asks for
// the rest, as long as each attempt brings more bytes. It verifies nothing.
type stream struct {
	rest
	notes *terminal.Progress
	began int64 // the offset of the present attempt
	lost  error // why the present attempt ended
}

// start sends the first request, and returns what is read.
func (s *stream) start() (client.Info, error) {
	info, err := s.open()
	s.size = info.Size
	return info, err
}

func (s *stream) Read(p []byte) (int, error) {
	for {
		if s.lost != nil {
			if err := s.resume(); err != nil {
				return 0, err
			}
		}
		n, err := s.rest.Read(p)
		if !errors.Is(err, client.ErrUnreachable) {
			return n, err
		}
		if s.lost = err; n > 0 {
			return n, nil
		}
	}
}

// resume begins another attempt after a lost connection, or returns why it is of no use. What
// fails at the object store is asked for at the gateway.
func (s *stream) resume() error {
	if s.from.readThroughGateway(s.lost) {
		s.notes.Note("%v; going on through the gateway", s.lost)
	} else {
		err := s.from.explain(s.ctx, s.lost)
		if !errors.Is(err, client.ErrUnreachable) || s.offset == s.began {
			return err
		}
		s.notes.Note("%v; resuming", err)
	}
	_ = s.Close() // the connection is lost
	s.began, s.body, s.lost = s.offset, nil, nil
	return nil
}
