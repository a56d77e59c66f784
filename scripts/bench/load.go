package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	readBuffer  = 256 << 10
	inlineBody  = 64 << 10 // bodies up to here go out in one write with their request
	headBuffer  = 16 << 10
	sampleGrace = 5 * time.Minute // how much longer than planned a sample may take
)

// call is one HTTP/1.1 request with its expected answer.
type call struct {
	request []byte   // request line and header, rendered
	body    *content // follows the header; nil: no body
	trailer []byte   // follows the body
	status  int      // that the answer must have
	answer  *content // that the answer must bring; nil: anything, also in chunks
}

// client is the load generator's HTTP/1.1 client: one connection, kept alive, with
// no more work per request than it takes to read the answer and know that it is
// right. It runs on the same processors as the measured program.
type client struct {
	conn    net.Conn
	reader  *bufio.Reader
	buffer  []byte
	scratch []byte
	release func() bool
}

// dial connects. When ctx is done the connection fails whatever waits on it.
func dial(ctx context.Context, address string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{
		conn:   conn,
		reader: bufio.NewReaderSize(conn, headBuffer),
		buffer: make([]byte, readBuffer),
		release: context.AfterFunc(ctx, func() {
			_ = conn.SetDeadline(time.Unix(1, 0)) // fails on a closed connection, which is as good
		}),
	}, nil
}

func (c *client) close() {
	c.release()
	c.conn.Close()
}

// do sends a request and reads its answer. Status and length are always checked;
// compare says whether the answer's bytes are, too.
func (c *client) do(call call, compare bool) error {
	if err := c.send(call); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	status, length, err := c.readHead()
	if err != nil {
		return fmt.Errorf("read an answer's header: %w", err)
	}
	if status != call.status {
		text := make([]byte, max(0, min(length, 300)))
		_, _ = io.ReadFull(c.reader, text) // the partial answer is part of the error
		return fmt.Errorf("answer has status %d, not %d: %s", status, call.status, text)
	}
	if length < 0 {
		if call.answer != nil {
			return errors.New("answer in chunks, where a known number of bytes was due")
		}
		return c.readChunks()
	}
	if call.answer != nil && length != call.answer.size {
		return fmt.Errorf("answer has %d bytes, not %d", length, call.answer.size)
	}
	want := call.answer
	if !compare {
		want = nil
	}
	return c.readBody(length, want)
}

func (c *client) send(call call) error {
	switch {
	case call.body == nil:
		_, err := c.conn.Write(call.request)
		return err
	case call.body.size <= inlineBody:
		c.scratch = append(c.scratch[:0], call.request...)
		for off := int64(0); off < call.body.size; {
			piece := call.body.from(off)
			c.scratch = append(c.scratch, piece...)
			off += int64(len(piece))
		}
		c.scratch = append(c.scratch, call.trailer...)
		_, err := c.conn.Write(c.scratch)
		return err
	}
	if _, err := c.conn.Write(call.request); err != nil {
		return err
	}
	if _, err := call.body.WriteTo(c.conn); err != nil || call.trailer == nil {
		return err
	}
	_, err := c.conn.Write(call.trailer)
	return err
}

var (
	contentLength = []byte("Content-Length:")
	chunked       = []byte("Transfer-Encoding: chunked")
)

// readHead reads an answer's status line and header. The length is -1 of an answer in
// chunks.
func (c *client) readHead() (status int, length int64, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < len("HTTP/1.1 200\r\n") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("%q is no status line", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("%q is no status line", line)
	}
	length = -1
	inChunks := false
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return 0, 0, err
		}
		if len(line) <= 2 {
			break
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			value := bytes.TrimSpace(line[len(contentLength):])
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil || length < 0 {
				return 0, 0, fmt.Errorf("Content-Length is %q", value)
			}
		}
		inChunks = inChunks || bytes.HasPrefix(line, chunked)
	}
	if length < 0 && !inChunks {
		return 0, 0, fmt.Errorf("answer with status %d has no Content-Length", status)
	}
	return status, length, nil
}

// readChunks reads an answer in chunks, whatever it says.
func (c *client) readChunks() error {
	for body := httputil.NewChunkedReader(c.reader); ; {
		if _, err := body.Read(c.buffer); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("answer in chunks: %w", err)
		}
	}
	_, err := c.reader.Discard(len("\r\n")) // the empty trailer
	return err
}

var errWrongBytes = errors.New("WRONG BYTES in an answer")

// readBody reads length bytes and compares them with those wanted, if any.
func (c *client) readBody(length int64, want *content) error {
	for off := int64(0); off < length; {
		most := min(length-off, int64(len(c.buffer)))
		// First the bytes that came with the header, then the rest from the connection.
		from := io.Reader(c.conn)
		if c.reader.Buffered() > 0 {
			from = c.reader
		}
		n, err := from.Read(c.buffer[:most])
		if want != nil && !want.matches(off, c.buffer[:n]) {
			return fmt.Errorf("%w, between byte %d and %d of %d", errWrongBytes, off, off+int64(n), length)
		}
		off += int64(n)
		if err != nil && off < length {
			return fmt.Errorf("answer ended after %d of %d bytes: %w", off, length, err)
		}
	}
	return nil
}

// worker does one piece of work each time it is called.
type worker func() error

// compareEvery is how many answers there are to one whose bytes are compared.
const compareEvery = 100

// connect opens a connection for each source of calls, and returns workers that
// make those calls. Before that each connection makes the calls of warmUp, whose
// answers are all compared.
func connect(ctx context.Context, address string, sources []func() call, warmUp []call) ([]worker, func(), error) {
	var clients []*client
	closeAll := func() {
		for _, c := range clients {
			c.close()
		}
	}
	var workers []worker
	for _, next := range sources {
		c, err := dial(ctx, address)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients = append(clients, c)
		made := 0
		workers = append(workers, func() error {
			made++
			return c.do(next(), made%compareEvery == 0)
		})
	}
	var group errgroup.Group
	for _, c := range clients {
		group.Go(func() error {
			for _, call := range warmUp {
				if err := c.do(call, true); err != nil {
					return fmt.Errorf("before the measurement: %w", err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		closeAll()
		return nil, nil, err
	}
	return workers, closeAll, nil
}

// extent is how long a sample goes on: for a number of operations where that is
// given, else for a time.
type extent struct {
	duration   time.Duration
	operations int64
}

// sample is the result of one measurement.
type sample struct {
	operations int64
	took       time.Duration
}

// rate returns operations a second.
func (s sample) rate() float64 { return float64(s.operations) / s.took.Seconds() }

// drive lets the workers work side by side, and stops at the first error.
func drive(ctx context.Context, workers []worker, e extent) (sample, error) {
	group, ctx := errgroup.WithContext(ctx)
	var begun, done atomic.Int64
	start := time.Now()
	for _, work := range workers {
		group.Go(func() error {
			mine := int64(0)
			defer func() { done.Add(mine) }()
			for {
				switch {
				case ctx.Err() != nil:
					return ctx.Err()
				case e.operations > 0 && begun.Add(1) > e.operations,
					e.operations == 0 && time.Since(start) >= e.duration:
					return nil
				}
				if err := work(); err != nil {
					return err
				}
				mine++
			}
		})
	}
	err := group.Wait()
	return sample{done.Load(), time.Since(start)}, err
}
