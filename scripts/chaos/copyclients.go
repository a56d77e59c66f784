package main

import (
	"net/http"
	"strings"
)

// copyOf is the subject of events about a copy.
func copyOf(what content, provider string) string { return what.String() + "@" + provider }

func isCopy(subject string) bool { return strings.Contains(subject, "@") }

// blobOf returns the digest of a copy's subject.
func blobOf(subject string) string {
	digest, _, _ := strings.Cut(subject, "@")
	return digest
}

func (c *client) copyURL(g *gateway, what content, provider string) string {
	return g.blobURL(what) + "/copies/" + provider + "?name=a.txt"
}

func (c *client) someProvider() string { return providerNames[c.random.IntN(len(providerNames))] }

// ensure makes a copy. Only an answer that it is ready counts.
func (c *client) ensure(g *gateway, what content) {
	provider := c.someProvider()
	r := newRequest(http.MethodPut, c.copyURL(g, what, provider), nil)
	if c.random.IntN(3) == 0 {
		r.Header.Set("Prefer", "respond-async")
	} else {
		r.Header.Set("Prefer", "wait=5")
	}
	c.send(g, r, event{subject: copyOf(what, provider), action: actionEnsure}, func(a answer) outcome {
		if a.err == nil && a.status == http.StatusOK {
			return done
		}
		return meaningOfWrite(answer{err: a.err, status: 500})
	})
}

func (c *client) removeCopies(g *gateway, what content) {
	provider := c.someProvider()
	r := newRequest(http.MethodDelete, c.copyURL(g, what, provider), nil)
	c.send(g, r, event{subject: copyOf(what, provider), action: actionRemove}, meaningOfDelete)
}
