package wiring

import (
	"cmp"
	"context"
	"net/url"
	"sync"
	"time"

	"casgate/cas"
	"casgate/providers/replicator"
)

// maxPresigned bounds the URLs that a Presigner keeps.
const maxPresigned = 100_000

// Presigner makes URLs at which providers read blobs from the bucket itself. A signature
// has the time when it was made in it, so each URL is kept as long as the replicator asks
// for the same expiry. Another process may give another URL.
type Presigner struct {
	Store   *cas.Store
	Objects interface {
		PresignGet(ctx context.Context, b cas.Blob, life time.Duration) (string, error)
	}

	mu   sync.Mutex
	kept map[presigned]string
	of   time.Time // the expiry of all that are kept
}

type presigned struct {
	request    replicator.URLRequest
	generation int32
}

// URL returns a URL that reads the blob from the bucket.
func (p *Presigner) URL(ctx context.Context, r replicator.URLRequest) (string, error) {
	b, err := p.Store.Blob(ctx, r.Digest)
	if err != nil {
		return "", err
	}
	p.Store.MarkUsed(r.Digest)
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Name, r.MediaType = cmp.Or(r.Name, b.Name), cmp.Or(r.MediaType, b.MediaType)
	if r.Expires != p.of || len(p.kept) >= maxPresigned {
		p.kept, p.of = map[presigned]string{}, r.Expires
	}
	key := presigned{r, b.Generation}
	if address, ok := p.kept[key]; ok {
		return address, nil
	}
	b.Name, b.MediaType = r.Name, r.MediaType
	address, err := p.Objects.PresignGet(ctx, b, time.Until(r.Expires).Truncate(time.Second))
	if err == nil && !isOfRole(address) {
		p.kept[key] = address
	}
	return address, err
}

// isOfRole reports whether a URL is signed by the passing credentials of a role. It works
// only as long as they do, so it can't be kept.
func isOfRole(address string) bool {
	u, err := url.Parse(address)
	return err != nil || u.Query().Has("X-Amz-Security-Token")
}
