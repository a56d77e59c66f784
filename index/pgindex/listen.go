package pgindex

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/index"
)

// channel carries the announcements of blobs that stopped being live: the 64 hex
// digits of a digest, or probePrefix and something random.
const channel = "casgate_blobs"

// filesChannel carries the announcements of deleted files: the 64 hex digits of an
// index.FilePlace. Expiry is not announced, since caches know the time.
const filesChannel = "casgate_files"

// probePrefix begins a notification that a listener sends itself.
const probePrefix = "probe "

// probePatience is how many probe intervals a probe may take.
const probePatience = 5

// How long Listen waits before it tries again. The time doubles from the first to the
// last, with jitter.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 15 * time.Second
)

// Listen implements index.Feed, on a direct connection of its own. A pooler in
// transaction mode accepts LISTEN and then delivers nothing, without an error. A URL of
// another database does the same. Therefore Listen sends itself a probe: a
// notification over the pool, as all others are sent. It counts as listening once the
// probe arrives. It repeats the probe every probe interval, which limits how long a
// dead connection goes unnoticed. Each probe that arrives is a beat of the feed.
func (x *Index) Listen(ctx context.Context, to index.Listener) error {
	l := &listener{index: x, to: index.FanOut(to)}
	var listening, reported bool
	report := func(now bool) {
		if listening != now || !reported {
			listening, reported = now, true
			l.to.State(now)
		}
	}
	// After the end of Listen no change is reported.
	defer report(false)
	l.onProven = func() {
		x.log.Info().Msg("listening for changes of other gateways")
		l.to.Gap()
		report(true)
	}
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		err := l.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if listening {
			retry = firstRetry
		}
		if listening || !reported {
			x.log.Warn().Err(err).Msg("not listening for changes of other gateways; trying again")
		}
		report(false)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retry/2 + mathrand.N(retry)):
		}
	}
}

// listener is one call of Listen.
type listener struct {
	index    *Index
	conn     *pgx.Conn
	to       index.Listener
	onProven func() // called in each session once, when a probe came back
}

// session listens on one connection until it fails. It always returns an error.
func (l *listener) session(ctx context.Context) error {
	if err := l.connect(ctx); err != nil {
		return err
	}
	defer func() {
		// Close tells the server, so that it doesn't log an unexpected end. It gets a
		// second, even if ctx is done.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		l.conn.Close(closing)
	}()
	for proven := false; ; proven = true {
		began := time.Now()
		if err := l.probe(ctx); err != nil {
			return err
		}
		if !proven {
			l.onProven()
		}
		l.to.Beat(began)
		if _, err := l.receive(ctx, began.Add(l.index.probeInterval), ""); err != nil {
			return err
		}
	}
}

// connect opens the connection and listens. The configuration has the time limit of
// connecting.
func (l *listener) connect(ctx context.Context) error {
	ctx, cancel := l.index.bounded(ctx)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.index.listenConfig.Copy())
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "listen "+channel+"; listen "+copiesChannel+"; listen "+filesChannel); err != nil {
		conn.Close(ctx)
		return err
	}
	l.conn = conn
	return nil
}

// errDeaf: the connection is open, but no notification arrives.
var errDeaf = errors.New("a notification that was sent over the database URL did not arrive: " +
	"is there a pooler in between, or does the URL for listening name another database")

// probe sends a notification over the pool and waits until it arrives. It delivers
// other notifications that arrive before.
func (l *listener) probe(ctx context.Context) error {
	// A busy database answers late. The caches know that by the missing beat, and must not
	// forget everything for it.
	limit := min(probePatience*l.index.probeInterval, l.index.callTimeout)
	until := time.Now().Add(limit)
	payload := probePrefix + rand.Text()
	sending, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if _, err := l.index.pool.Exec(sending, "select pg_notify($1, $2)", channel, payload); err != nil {
		return fmt.Errorf("send a notification: %w", err)
	}
	heard, err := l.receive(ctx, until, payload)
	if err == nil && !heard {
		return fmt.Errorf("after %v: %w", limit, errDeaf)
	}
	return err
}

// receive delivers announcements until the given time. If probe isn't empty, it stops
// when that probe arrives, and reports whether it did. The connection stays open after
// the time limit.
func (l *listener) receive(ctx context.Context, until time.Time, probe string) (heard bool, err error) {
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		n, err := l.conn.WaitForNotification(limited)
		switch {
		case err != nil && ctx.Err() == nil && limited.Err() != nil && !l.conn.IsClosed():
			return false, nil
		case err != nil:
			return false, err
		case probe != "" && n.Payload == probe:
			return true, nil
		}
		l.deliver(n.Channel, n.Payload)
	}
}

// deliver passes on one announcement. If it can't be parsed, it is from a newer gateway,
// and anything may have changed.
func (l *listener) deliver(from, payload string) {
	if strings.HasPrefix(payload, probePrefix) {
		return // another listener's
	}
	var d cas.Digest
	if len(payload) != hex.EncodedLen(len(d)) {
		l.to.Gap()
		return
	}
	if _, err := hex.Decode(d[:], []byte(payload)); err != nil {
		l.to.Gap()
		return
	}
	switch from {
	case channel:
		l.to.BlobChanged(d)
	case copiesChannel:
		l.to.CopiesChanged(d)
	case filesChannel:
		l.to.FileDeleted(d)
	}
}
