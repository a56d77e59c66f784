package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"strconv"
	"sync"

	"casgate/gateway/api"
)

// fileBlobCount is how many blobs the files of a round have.
const fileBlobCount = 7

// files are the files that the clients of a round have made. They have blobs of their
// own, so that it is known which blobs have files.
type files struct {
	contents []content

	mu    sync.Mutex
	known []file
}

// file is a file whose id a client knows.
type file struct {
	id      string
	content content
}

func (f *files) add(one file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = append(f.known, one)
}

// list returns the files known so far.
func (f *files) list() []file {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known[:len(f.known):len(f.known)]
}

// createFile makes a file. If there is no answer, its id is unknown, and no event can be
// recorded.
func (c *client) createFile(g *gateway) {
	what := c.round.files.contents[c.random.IntN(len(c.round.files.contents))]
	name := fmt.Sprintf("%d-%d-%s.txt", c.round.number, c.number, strconv.FormatUint(c.random.Uint64(), 36))
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", name)
	if err == nil {
		_, err = part.Write(what.bytes)
	}
	if err == nil {
		err = form.WriteField("purpose", "user_data")
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	r := newRequest(http.MethodPost, g.url+"/v1/files", body.Bytes())
	r.Header.Set("Content-Type", form.FormDataContentType())
	e, a := c.ask(g, r, event{action: actionPut, outcome: done})
	var created api.File
	switch {
	case !a.isRefusal() && a.wasSent():
		c.campaign.named(name)
	case a.isDone() && json.Unmarshal(a.body, &created) != nil:
		c.campaign.find(finding{promise: "files", text: fmt.Sprintf("gateway %d answers with %q", g.number, a.body)})
	}
	if a.isDone() && json.Unmarshal(a.body, &created) == nil {
		e.subject = created.ID
		c.record(e, a)
		c.round.files.add(file{created.ID, what})
	}
}

// someFile returns a file of the round. There is none at first.
func (c *client) someFile() (file, bool) {
	all := c.round.files.list()
	if len(all) == 0 {
		return file{}, false
	}
	// The last ones most often, so that there are some with a long history.
	return all[max(0, len(all)-1-c.random.IntN(10))], true
}

func (g *gateway) fileURL(f file) string { return g.url + "/v1/files/" + f.id }

func (c *client) readFile(g *gateway) {
	if f, ok := c.someFile(); ok {
		c.getFile(g, f)
	}
}

// getFile reads the bytes of a file.
func (c *client) getFile(g *gateway, f file) answer {
	return c.read(g, newRequest(http.MethodGet, g.fileURL(f)+"/content", nil), f.id, f.content, f.content.bytes)
}

// deleteFile deletes a file, sometimes with its blob.
func (c *client) deleteFile(g *gateway) {
	f, ok := c.someFile()
	if !ok {
		return
	}
	url := g.fileURL(f)
	if c.random.IntN(2) == 0 {
		url += "?everywhere=true"
	}
	c.send(g, newRequest(http.MethodDelete, url, nil), event{subject: f.id, action: actionDelete}, meaningOfDelete)
}

// deleteFileBlob deletes the blob of a file, without force: the file's bytes must stay as
// long as there is a file. It is not recorded, since the blob comes back with the next
// file.
func (c *client) deleteFileBlob(g *gateway) {
	if f, ok := c.someFile(); ok {
		c.ask(g, newRequest(http.MethodDelete, g.blobURL(f.content), nil), event{})
	}
}
