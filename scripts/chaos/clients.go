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
	"time"
)

// requestLimit is how long a client waits for an answer.
const requestLimit = 10 * time.Second

// client sends requests about the blobs of a round, one after another.
type client struct {
	campaign *campaign
	number   int
	random   *rand.Rand
	http     *http.Client
	contents []content
}

func (c *campaign) newClient(number, round int, contents []content) *client {
	return &client{
		campaign: c, number: number, contents: contents,
		random: rand.New(rand.NewPCG(c.config.seed, uint64(round)<<16|uint64(number))),
		http:   &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Second, DisableCompression: true}},
	}
}

// thinking is the longest pause of a client between two requests.
const thinking = 60 * time.Millisecond

// work sends requests until ctx is done. It ends the last request orderly.
func (c *client) work(ctx context.Context) {
	defer c.http.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rand.N(thinking)):
		}
		what := c.contents[c.random.IntN(len(c.contents))]
		g := c.campaign.gateways[c.random.IntN(len(c.campaign.gateways))]
		switch n := c.random.IntN(100); {
		case n < 35:
			c.put(g, what)
		case n < 55:
			c.delete(g, what)
		case n < 75:
			c.get(g, what)
		case n < 90:
			c.getRange(g, what)
		default:
			c.head(g, what)
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

// send sends a request and records it as an event, of which meaning gives the outcome. No
// outcome means that nothing was learned, and nothing done.
func (c *client) send(g *gateway, r *http.Request, what content, e event, meaning func(answer) outcome) answer {
	e.blob, e.client, e.gateway, e.life = what.digest, c.number, g.number, g.lives.Load()
	e.begin = c.campaign.history.now()
	a := c.do(r)
	e.end = c.campaign.history.now()
	e.outcome, e.detail = meaning(a), r.Method+" "+a.String()
	if e.outcome != "" && a.wasSent() {
		c.campaign.history.add(e)
	}
	return a
}

func (c *client) do(r *http.Request) (a answer) {
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	response, err := c.http.Do(r.WithContext(ctx))
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	a.status, a.code = response.StatusCode, response.Header.Get("X-Problem-Code")
	a.body, a.err = io.ReadAll(response.Body)
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

func (g *gateway) blobURL(what content) string { return g.url + "/v1/blobs/" + what.digest.String() }

func (c *client) put(g *gateway, what content) answer {
	r := newRequest(http.MethodPut, g.blobURL(what), what.bytes)
	switch c.random.IntN(4) {
	case 0:
		r = newRequest(http.MethodPost, g.url+"/v1/blobs", what.bytes)
	case 1:
		r.Header.Set("Expect", "100-continue")
	}
	return c.send(g, r, what, event{action: actionPut}, meaningOfPut)
}

func meaningOfPut(a answer) outcome {
	switch {
	case a.err == nil && a.status/100 == 2:
		return done
	case a.err == nil && a.status/100 == 4:
		return "" // refused
	}
	return unknown
}

func (c *client) delete(g *gateway, what content) answer {
	return c.send(g, newRequest(http.MethodDelete, g.blobURL(what), nil), what, event{action: actionDelete}, meaningOfDelete)
}

func meaningOfDelete(a answer) outcome {
	switch {
	case a.err == nil && a.status/100 == 2:
		return done
	case a.err == nil && a.status == http.StatusNotFound:
		return absent
	case a.err == nil && a.status/100 == 4:
		return ""
	}
	return unknown
}

// get reads a blob, and compares what comes with the bytes.
func (c *client) get(g *gateway, what content) answer {
	return c.read(g, what, newRequest(http.MethodGet, g.blobURL(what), nil), what.bytes)
}

func (c *client) getRange(g *gateway, what content) answer {
	begin := c.random.IntN(len(what.bytes))
	end := begin + 1 + c.random.IntN(len(what.bytes)-begin)
	r := newRequest(http.MethodGet, g.blobURL(what), nil)
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", begin, end-1))
	return c.read(g, what, r, what.bytes[begin:end])
}

func (c *client) head(g *gateway, what content) answer {
	return c.read(g, what, newRequest(http.MethodHead, g.blobURL(what), nil), nil)
}

func (c *client) read(g *gateway, what content, r *http.Request, want []byte) answer {
	return c.send(g, r, what, event{action: actionRead}, func(a answer) outcome {
		switch {
		case a.status == http.StatusNotFound && a.err == nil:
			return absent
		case a.status == http.StatusOK && r.Header.Get("Range") != "":
			want = what.bytes // a suspect blob is only served whole
		case a.status/100 != 2:
			return ""
		}
		if !bytes.HasPrefix(want, a.body) || a.err == nil && len(a.body) != len(want) {
			c.campaign.find(finding{"wrong bytes", fmt.Sprintf("gateway %d served wrong bytes to a %s", g.number, r.Method), what.digest})
		}
		if a.err != nil {
			return "" // it broke off
		}
		return present
	})
}
