package simulator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"time"

	"casgate/cas"
)

const (
	// maxFetch is the maximum size of a file that a simulator reads at a URL, in bytes.
	maxFetch = 200 << 20
	// fetchTimeout bounds the whole read.
	fetchTimeout = 30 * time.Second
)

// hashURLPath matches the path of a hash URL.
var hashURLPath = regexp.MustCompile(`/v1/blobs/sha256:[0-9a-f]{64}$`)

// IsLocalHashURL reports whether a URL is a hash URL of a gateway on this machine. A
// simulator reads no others: a request must not make it call just any server.
func IsLocalHashURL(u *url.URL) bool {
	if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || !hashURLPath.MatchString(u.Path) {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// errNotOurs is the error for a URL that a simulator doesn't read.
var errNotOurs = errors.New("the simulator reads only hash URLs of a gateway on this machine")

// Fetch reads the file at a hash URL.
func Fetch(ctx context.Context, address, how string) (ChatFile, error) {
	u, err := url.Parse(address)
	if err != nil || !IsLocalHashURL(u) {
		return ChatFile{}, errNotOurs
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return ChatFile{}, err
	}
	response, err := fetcher.Do(request)
	if err != nil {
		return ChatFile{}, fmt.Errorf("reading the URL: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return ChatFile{}, fmt.Errorf("reading the URL: status %d", response.StatusCode)
	}
	hash := sha256.New()
	size, err := io.Copy(hash, io.LimitReader(response.Body, maxFetch+1))
	if err == nil && size > maxFetch {
		err = errors.New("the file is too large")
	}
	if err != nil {
		return ChatFile{}, fmt.Errorf("reading the URL: %w", err)
	}
	return ChatFile{How: how, Size: size, Digest: cas.Digest(hash.Sum(nil))}, nil
}

// fetcher keeps no connections, and follows no redirects.
var fetcher = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}
