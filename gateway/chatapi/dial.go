package chatapi

import (
	"context"
	"net"
	"sync"
	"time"
)

// answerGrace is how long a connection on which the request can't be sent on stays open for
// an answer that has already arrived.
const answerGrace = 2 * time.Second

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// forEarlyAnswers returns a dial function whose connections let an answer be read that came
// before the whole request was sent. A provider that refuses a request by its first bytes
// answers and closes the connection. The next bytes of the request then fail, and package
// http would give the connection up with the answer unread.
func forEarlyAnswers(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &earlyAnswerConn{Conn: c, over: make(chan struct{})}, nil
	}
}

// earlyAnswerConn is a connection on which a Write fails only after all that has arrived
// was read.
type earlyAnswerConn struct {
	net.Conn
	over chan struct{} // closed after the last Read
	once sync.Once
}

// Read implements net.Conn.
func (c *earlyAnswerConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.end()
	}
	return n, err
}

// Write implements net.Conn.
func (c *earlyAnswerConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		grace := time.NewTimer(answerGrace)
		defer grace.Stop()
		select {
		case <-c.over:
		case <-grace.C:
		}
	}
	return n, err
}

// Close implements net.Conn.
func (c *earlyAnswerConn) Close() error {
	c.end()
	return c.Conn.Close()
}

func (c *earlyAnswerConn) end() { c.once.Do(func() { close(c.over) }) }
