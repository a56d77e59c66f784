package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// requestLimit is how long a client waits for an answer.
const requestLimit = 10 * time.Second

// client sends requests about the blobs and files of a round, one after another.
type client struct {
	campaign *campaign
	number   int
	random   *rand.Rand
	http     *http.Client
	round    *round
}

// round is what the clients of a round share.
type round struct {
	number   int
	contents []content // of blobs
	files    files

	// The round ends when enough answers have come. A round without a focus ends by time.
	answersLeft atomic.Int64
	enough      func()
}

func (c *campaign) newRound(number int) *round {
	all := roundContents(c.config.seed, number, blobCount+fileBlobCount)
	return &round{number: number, contents: all[:blobCount], files: files{contents: all[blobCount:]}}
}

func (c *campaign) newClient(number int, r *round) *client {
	return &client{
		campaign: c, number: number, round: r,
		random: rand.New(rand.NewPCG(c.config.seed, uint64(r.number)<<16|uint64(number))),
		http:   &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Second, DisableCompression: true}},
	}
}

// thinking is the longest pause of a client between two requests.
const thinking = 60 * time.Millisecond

// request is a request of clients, with its share of all.
type request struct {
	share int
	send  func(c *client, g *gateway, what content)
}

// requests are those of a campaign without a focus.
var requests = []request{
	{25, (*client).put},
	{12, (*client).delete},
	{3, (*client).deleteEverywhere},
	{12, (*client).readBlob},
	{10, (*client).getRange},
	{6, (*client).head},
	{2, func(c *client, g *gateway, _ content) { c.findMissing(g) }},
	{10, (*client).ensure},
	{2, (*client).removeCopies},
	{6, func(c *client, g *gateway, _ content) { c.createFile(g) }},
	{8, func(c *client, g *gateway, _ content) { c.readFile(g) }},
	{2, func(c *client, g *gateway, _ content) { c.deleteFile(g) }},
	{2, func(c *client, g *gateway, _ content) { c.deleteFileBlob(g) }},
}

// work sends requests until ctx is done. It ends the last request orderly.
func (c *client) work(ctx context.Context, requests []request) {
	defer c.http.CloseIdleConnections()
	shares := 0
	for _, r := range requests {
		shares += r.share
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rand.N(thinking)):
		}
		what := c.round.contents[c.random.IntN(len(c.round.contents))]
		g := c.campaign.gateways[c.random.IntN(len(c.campaign.gateways))]
		left := c.random.IntN(shares)
		for _, r := range requests {
			if left -= r.share; left < 0 {
				r.send(c, g, what)
				break
			}
		}
	}
}

// answer is an answer, or the error in place of one.
type answer struct {
	status int
	code   string // of a problem
	body   []byte // as far as it came
	err    error
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("%d %v", a.status, a.err)
	}
	return fmt.Sprintf("%d %s", a.status, a.code)
}

// wasSent reports whether the gateway may have the request. It hasn't if no connection
// could be made.
func (a answer) wasSent() bool {
	e, ok := errors.AsType[*net.OpError](a.err)
	return !ok || e.Op != "dial"
}

// send sends a request and records it as an event, whose outcome meaning gives. No
// outcome means that nothing was learned, and nothing done.
func (c *client) send(g *gateway, r *http.Request, e event, meaning func(answer) outcome) answer {
	e, a := c.ask(g, r, e)
	e.outcome = meaning(a)
	c.record(e, a)
	return a
}

// ask sends a request, and returns the event without its outcome.
func (c *client) ask(g *gateway, r *http.Request, e event) (event, answer) {
	e.client, e.gateway, e.life = c.number, g.number, g.lives.Load()
	e.begin = c.campaign.history.now()
	a := c.do(r)
	e.end, e.detail = c.campaign.history.now(), r.Method+" "+a.String()
	return e, a
}

func (c *client) record(e event, a answer) {
	if e.outcome != "" && a.wasSent() {
		c.campaign.history.add(e)
		if e.outcome != unknown && c.round.answersLeft.Add(-1) == 0 {
			c.round.enough()
		}
	}
}

func (c *client) do(r *http.Request) (a answer) {
	limit := requestLimit
	if c.random.IntN(40) == 0 { // a client that hangs up
		limit = time.Duration(1+c.random.IntN(50)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	response, err := c.http.Do(r.WithContext(ctx))
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	a.status, a.code = response.StatusCode, response.Header.Get("X-Problem-Code")
	a.body, a.err = io.ReadAll(response.Body)
	if a.status >= http.StatusInternalServerError {
		c.campaign.count(fmt.Sprintf("answers with status %d", a.status))
	}
	return a
}

func newRequest(method, url string, body []byte) *http.Request {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	r, err := http.NewRequest(method, url, reader)
	if err != nil {
		panic(err) // method and URL are ours
	}
	return r
}

// isRefusal reports whether the gateway has answered that it did nothing.
func (a answer) isRefusal() bool { return a.err == nil && a.status/100 == 4 }

// isDone reports whether the gateway has acknowledged.
func (a answer) isDone() bool { return a.err == nil && a.status/100 == 2 }

// meaningOfWrite is the meaning of an answer to a write, other than a delete.
func meaningOfWrite(a answer) outcome {
	switch {
	case a.isDone():
		return done
	case a.isRefusal():
		return ""
	}
	return unknown
}

func meaningOfDelete(a answer) outcome {
	if a.err == nil && a.status == http.StatusNotFound {
		return absent
	}
	return meaningOfWrite(a)
}

// read sends a request for bytes, and compares what comes with those wanted.
func (c *client) read(g *gateway, r *http.Request, subject string, what content, want []byte) answer {
	return c.send(g, r, event{subject: subject, action: actionRead}, func(a answer) outcome {
		switch {
		case a.status == http.StatusNotFound && a.err == nil:
			return absent
		case a.status == http.StatusOK && r.Header.Get("Range") != "":
			want = what.bytes // a suspect blob is only served whole
		case a.status/100 != 2:
			return ""
		}
		if !bytes.HasPrefix(want, a.body) || a.err == nil && len(a.body) != len(want) {
			c.campaign.find(finding{"wrong bytes", fmt.Sprintf("gateway %d served wrong bytes to a %s", g.number, r.Method), subject})
		}
		if a.err != nil {
			return "" // it broke off
		}
		return present
	})
}
