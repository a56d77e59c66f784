package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"casgate/cas"
	"casgate/gateway/api"
)

func (g *gateway) blobURL(what content) string { return g.url + "/v1/blobs/" + what.String() }

// put stores a blob, in one of the ways.
func (c *client) put(g *gateway, what content) { c.upload(g, what) }

func (c *client) upload(g *gateway, what content) answer {
	r := newRequest(http.MethodPut, g.blobURL(what), what.bytes)
	switch c.random.IntN(4) {
	case 0:
		r = newRequest(http.MethodPost, g.url+"/v1/blobs", what.bytes)
	case 1:
		r.Header.Set("Expect", "100-continue")
	}
	return c.send(g, r, event{subject: what.String(), action: actionPut}, meaningOfWrite)
}

func (c *client) delete(g *gateway, what content) {
	c.send(g, newRequest(http.MethodDelete, g.blobURL(what), nil), event{subject: what.String(), action: actionDelete}, meaningOfDelete)
}

// deleteEverywhere deletes a blob and its copies. If the answer says that all copies are
// gone, then each copy from before the request must be gone.
func (c *client) deleteEverywhere(g *gateway, what content) {
	before := c.campaign.remoteFiles(what.digest)
	r := newRequest(http.MethodDelete, g.blobURL(what)+"?everywhere=true", nil)
	r.Header.Set("Prefer", "wait=5")
	a := c.send(g, r, event{subject: what.String(), action: actionDelete}, meaningOfDelete)
	if a.err != nil || a.status != http.StatusOK {
		return
	}
	for id := range c.campaign.remoteFiles(what.digest) {
		if before[id] {
			c.campaign.find(finding{"deleted everywhere", "all copies are said to be gone, but remote file " + id + " is not", what.String()})
		}
	}
}

// get reads a blob.
func (c *client) get(g *gateway, what content) answer {
	return c.read(g, newRequest(http.MethodGet, g.blobURL(what), nil), what.String(), what, what.bytes)
}

func (c *client) readBlob(g *gateway, what content) { c.get(g, what) }

func (c *client) getRange(g *gateway, what content) {
	begin := c.random.IntN(len(what.bytes))
	end := begin + 1 + c.random.IntN(len(what.bytes)-begin)
	r := newRequest(http.MethodGet, g.blobURL(what), nil)
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", begin, end-1))
	c.read(g, r, what.String(), what, what.bytes[begin:end])
}

func (c *client) head(g *gateway, what content) {
	c.read(g, newRequest(http.MethodHead, g.blobURL(what), nil), what.String(), what, nil)
}

// findMissing asks for all blobs. A blob that is not missing is there; one that is missing
// may be readable, if it is suspect.
func (c *client) findMissing(g *gateway) {
	var question api.FindMissing
	for _, what := range c.round.contents {
		question.Digests = append(question.Digests, what.digest)
	}
	body, err := json.Marshal(question)
	if err != nil {
		panic(err) // it is made of digests
	}
	r := newRequest(http.MethodPost, g.url+"/v1/blobs/find-missing", body)
	r.Header.Set("Content-Type", "application/json")
	e, a := c.ask(g, r, event{action: actionRead, outcome: present})
	var missing api.Missing
	if !a.isDone() || json.Unmarshal(a.body, &missing) != nil {
		return
	}
	isMissing := map[cas.Digest]bool{}
	for _, d := range missing.Missing {
		isMissing[d] = true
	}
	for _, what := range c.round.contents {
		if !isMissing[what.digest] {
			e.subject = what.String()
			c.record(e, a)
		}
	}
}
