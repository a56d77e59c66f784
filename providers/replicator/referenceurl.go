package replicator

import (
	"bytes"
	"context"
	"fmt"
	"image"
	_ "image/jpeg" // for image.DecodeConfig
	_ "image/png"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"casgate/cas"
	"casgate/providers"
)

// URLRequest asks for a URL where a provider can read a blob.
type URLRequest struct {
	Digest  cas.Digest
	Expires time.Time // in UTC, the end of a referenceStep
	// Name and MediaType are what the URL shows, if that differs from the blob's own:
	// those of the file. Empty means the blob's own.
	Name, MediaType string
}

const (
	// referenceLife is how long a URL for a provider is valid at least: long enough for a
	// batch that starts late.
	referenceLife = 24 * time.Hour
	// referenceStep is how long a blob keeps its URL, at all gateways. Providers cache
	// prompts by the literal text of a request, and a new URL would be a miss.
	referenceStep = 12 * time.Hour
)

// urlExpiry returns when a URL that is made at this time expires: at the end of a step.
func urlExpiry(now time.Time) time.Time {
	return now.UTC().Add(referenceLife + referenceStep - 1).Truncate(referenceStep)
}

// urlRequest returns the request for the URL of a job's blob.
func (j job) urlRequest() URLRequest {
	u := URLRequest{Digest: j.blob.Digest, Expires: urlExpiry(time.Now())}
	if j.request.Name != j.blob.Name && !hasPlainType(j.fileType.MediaType) {
		u.Name = j.request.Name
	}
	if j.fileType.MediaType != j.blob.MediaType && j.fileType.MediaType != providers.UnknownType {
		u.MediaType = j.fileType.MediaType
	}
	return u
}

// hasPlainType reports whether the type of a file says all of it: a picture and a video
// need no name, and have one URL under all of theirs.
func hasPlainType(mediaType string) bool {
	return strings.HasPrefix(mediaType, "image/") || strings.HasPrefix(mediaType, "video/")
}

// signedURL is a URL where a provider can read a blob.
type signedURL struct {
	address string
	expires time.Time
	warning string // if the provider may not reach it
	// unreachable is an *Error if the provider certainly can't reach the URL.
	unreachable error
}

// urlFor returns the URL where a provider can read the blob. It returns an *Error if the
// blob is too large for the kind.
func (r *Replicator) urlFor(ctx context.Context, j job, kind providers.ReferenceKind) (signedURL, error) {
	if err := r.checkBounds(ctx, j, kind); err != nil {
		return signedURL{}, err
	}
	return r.signedURLFor(ctx, j)
}

// signedURLFor returns the URL of a blob, which may be too large for the reference.
func (r *Replicator) signedURLFor(ctx context.Context, j job) (signedURL, error) {
	if r.o.SignURL == nil {
		return signedURL{}, fmt.Errorf("%w: this gateway gives out no URLs", providers.ErrNoReference)
	}
	request := j.urlRequest()
	address, err := r.o.SignURL(ctx, request)
	if err != nil {
		return signedURL{}, err
	}
	signed := signedURL{address: address, expires: request.Expires}
	host, reach := reachOf(address)
	if reach == reachAll {
		return signed, nil
	}
	whose := "this machine's own"
	if reach == reachPrivate {
		whose = "in a private network"
	}
	warning := fmt.Sprintf("%s can't reach %s, which is %s", j.description.Provider, host, whose)
	const remedy = "set CAS_PUBLIC_URL at the gateway to a URL that works from outside (or the bucket's endpoint, if CAS_REFERENCE_URLS is bucket)"
	// A provider's own host may be a proxy on this machine, which reaches the URL.
	_, provider := reachOf("https://" + j.description.Host)
	if reach == reachMachine && provider != reachMachine && !j.description.Simulated {
		signed.unreachable = &providers.Error{
			Provider: j.description.Provider, Op: providers.OpCheck, Kind: providers.KindPermanent, Code: "reference_unreachable",
			Message: warning, Hint: remedy, Cause: providers.ErrReferenceUnreachable,
		}
	}
	signed.warning = warning + ": " + remedy
	return signed, nil
}

// checkBounds returns an *Error if the blob is too large for a kind that needs no copy.
func (r *Replicator) checkBounds(ctx context.Context, j job, kind providers.ReferenceKind) error {
	if err := checkSize(j, kind); err != nil {
		return err
	}
	return r.checkSides(ctx, j, kind)
}

// checkSize returns an *Error if the blob has too many bytes for a kind.
func checkSize(j job, kind providers.ReferenceKind) error {
	if kind.MaxSize > 0 && j.blob.Size > kind.MaxSize {
		return refuseReference(j, "file_too_large",
			fmt.Sprintf("%s takes at most %s (%d bytes) as %s, and the blob has %d bytes", j.description.Provider, humanize.IBytes(uint64(kind.MaxSize)), kind.MaxSize, kind.Name, j.blob.Size),
			"make the file smaller")
	}
	return nil
}

// checkSides returns an *Error if the blob is a picture with too many pixels for the kind.
// The header of a JPEG or PNG has its width and height; a picture whose header can't be
// read is not refused.
func (r *Replicator) checkSides(ctx context.Context, j job, kind providers.ReferenceKind) error {
	if base := providers.BaseType(j.fileType.MediaType); kind.MaxSide == 0 || base != "image/jpeg" && base != "image/png" {
		return nil
	}
	content, err := r.blobs.OpenVerified(ctx, j.blob)
	if err != nil {
		return err
	}
	defer content.Close()
	var picture io.Reader = content.Body
	if content.Body == nil {
		picture = bytes.NewReader(content.Bytes)
	}
	header, _, err := image.DecodeConfig(picture)
	if err != nil || max(header.Width, header.Height) <= kind.MaxSide {
		return nil
	}
	return refuseReference(j, "picture_too_large",
		fmt.Sprintf("%s takes pictures of at most %d × %d pixels as %s, and the blob has %d × %d", j.description.Provider, kind.MaxSide, kind.MaxSide, kind.Name, header.Width, header.Height),
		"make the picture smaller")
}

// refuseReference returns the error for a reference that can't work.
func refuseReference(j job, code, message, hint string) error {
	return &providers.Error{
		Provider: j.description.Provider, Op: providers.OpCheck, Kind: providers.KindPermanent, Code: code,
		Message: message, Hint: hint, Cause: providers.ErrNoReference,
	}
}

// reach is from where a URL can be read.
type reach int

const (
	reachAll     reach = iota
	reachPrivate       // from a private network
	reachMachine       // from the same machine
)

// reachOf returns the host of a URL, with its port, and from where it can be read. A
// name without a dot, and the top levels for private use, exist only in private
// networks. Other names are not looked up.
func reachOf(address string) (host string, from reach) {
	u, err := url.Parse(address)
	if err != nil {
		return "", reachAll
	}
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip, err := netip.ParseAddr(name)
	if err == nil {
		return u.Host, reachOfIP(ip.Unmap())
	}
	switch {
	case name == "localhost", strings.HasSuffix(name, ".localhost"):
		return u.Host, reachMachine
	case !strings.Contains(name, "."), strings.HasSuffix(name, ".local"), strings.HasSuffix(name, ".internal"), strings.HasSuffix(name, ".lan"), strings.HasSuffix(name, ".home.arpa"):
		return u.Host, reachPrivate
	}
	return u.Host, reachAll
}

// IsOwnMachine reports whether a URL can be read only on the machine that it is read on:
// its host is a loopback address, or the like.
func IsOwnMachine(address string) bool {
	_, from := reachOf(address)
	return from == reachMachine
}

// carrierNAT are the addresses behind a provider's translation, RFC 6598.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

func reachOfIP(ip netip.Addr) reach {
	switch {
	case ip.IsLoopback(), ip.IsUnspecified(), ip.IsLinkLocalUnicast():
		return reachMachine
	case ip.IsPrivate(), carrierNAT.Contains(ip):
		return reachPrivate
	}
	return reachAll
}
