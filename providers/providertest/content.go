package providertest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"strings"
	"sync"
	"testing"

	"casgate/cas"
	"casgate/providers"
)

// content is an upload's source that records how the adapter uses it.
type content struct {
	read func() io.Reader
	size int64
	fail error // of Open

	mu     sync.Mutex
	opens  int
	closes int
}

func textContent(s string) *content {
	return &content{read: func() io.Reader { return strings.NewReader(s) }, size: int64(len(s))}
}

func (c *content) open(context.Context) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return nil, c.fail
	}
	c.opens++
	return &reading{Reader: c.read(), content: c}, nil
}

type reading struct {
	io.Reader
	content *content
	once    sync.Once
}

func (r *reading) Close() error {
	r.once.Do(func() {
		r.content.mu.Lock()
		defer r.content.mu.Unlock()
		r.content.closes++
	})
	return nil
}

// wantDone fails if the content was opened more than once, or is still open.
func (c *content) wantDone(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opens > 1 {
		t.Errorf("the content was opened %d times", c.opens)
	}
	if c.closes != c.opens {
		t.Errorf("the content was opened %d times and closed %d times", c.opens, c.closes)
	}
}

func (c *content) digest(t *testing.T) cas.Digest {
	t.Helper()
	hash := sha256.New()
	if _, err := io.Copy(hash, c.read()); err != nil {
		t.Fatal(err)
	}
	return cas.Digest(hash.Sum(nil))
}

// upload makes an upload of the content.
func (c *content) upload(p providers.Purpose, name string) providers.Upload {
	return providers.Upload{Purpose: p.Name, Name: name, MediaType: mediaType(extensionOf(p)), Size: c.size, Open: c.open}
}

// extensionOf returns an extension that the purpose accepts, .txt if possible.
func extensionOf(p providers.Purpose) string {
	if len(p.Extensions) == 0 {
		return ".txt"
	}
	for _, ext := range p.Extensions {
		if ext == ".txt" {
			return ext
		}
	}
	return p.Extensions[0]
}

func mediaType(extension string) string {
	switch extension {
	case ".txt":
		return "text/plain; charset=utf-8"
	case ".png":
		return "image/png"
	case ".mp4":
		return "video/mp4"
	case ".pdf":
		return "application/pdf"
	case ".jsonl":
		return "application/jsonl"
	case ".mp3":
		return "audio/mpeg"
	}
	return "application/octet-stream"
}

// fitting returns unique content that begins like files with the extension.
func fitting(extension string) *content {
	magic := map[string]string{
		".pdf": "%PDF-1.7\n", ".png": "\x89PNG\r\n\x1a\n", ".gif": "GIF89a", ".jpg": "\xff\xd8\xff\xe0", ".jpeg": "\xff\xd8\xff\xe0",
		".mp4": "\x00\x00\x00\x18ftypmp42", ".mp3": "ID3\x04", ".webp": "RIFF\x10\x00\x00\x00WEBP",
	}
	if extension == ".jsonl" {
		return textContent(`{"custom_id":"` + rand.Text() + `","method":"POST","url":"/v1/chat/completions","body":{}}` + "\n")
	}
	return textContent(magic[extension] + "Some text " + rand.Text() + "\n")
}

// pattern is an endless text with a period that fits no buffer's size.
type pattern struct{ at int }

func (p *pattern) Read(b []byte) (int, error) {
	const line = "The quick brown fox jumps over the lazy dog, again and again and again.\n"
	for n := 0; n < len(b); {
		copied := copy(b[n:], line[p.at:])
		n, p.at = n+copied, (p.at+copied)%len(line)
	}
	return len(b), nil
}

func large(size int64) *content {
	return &content{read: func() io.Reader { return io.LimitReader(&pattern{}, size) }, size: size}
}
