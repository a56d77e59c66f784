package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"casgate/gateway/api"
	"casgate/providers"
	"casgate/providers/kimi"
	"casgate/providers/ledger"
	"casgate/providers/simulator/kimisim"
)

// Copies are made at Kimi's simulator, in this process: the time of the real
// service is not measured.

const kimiKey = "sk-bench-0123456789"

// documentSize is the size of the documents whose copies are timed.
const documentSize = 64 << 10

// startKimi starts a simulator of Kimi, and returns its base URL.
func (l *lab) startKimi() (*kimisim.Server, string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	kimi := kimisim.New(kimisim.Options{Key: kimiKey})
	server := &http.Server{Handler: kimi, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(ln) }() // until it is closed
	l.atEnd(func() { server.Close() })
	return kimi, "http://" + ln.Addr().String() + kimisim.Prefix, nil
}

// startWithKimi starts a gateway that has an account at the simulator.
func (l *lab) startWithKimi(ctx context.Context, served bool, baseURL string) (*gateway, error) {
	account := []string{"CAS_KIMI_API_KEY=" + kimiKey, "CAS_KIMI_BASE_URL=" + baseURL, "CAS_KIMI_CONCURRENCY=64"}
	if !served {
		return l.startEmbedded(ctx, "", account...)
	}
	return l.startServed(ctx, account...)
}

// ensure is the request for a content's copy at Kimi.
func (g *gateway) ensure(c *content) call {
	path := blobPath(c.digest()) + "/copies/kimi?name=document.txt"
	return call{request: render("PUT", g.address, path, g.authorization(), "Content-Length: 0"), status: http.StatusOK}
}

// hotCopies compares asking for copies that are there with a bare Echo handler
// that answers the like as JSON.
func hotCopies(served bool) func(context.Context, *lab, int) (*gateway, side, side, error) {
	return func(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
		none := side{}
		_, baseURL, err := l.startKimi()
		if err != nil {
			return nil, none, none, err
		}
		g, err := l.startWithKimi(ctx, served, baseURL)
		if err != nil {
			return nil, none, none, err
		}
		l.atEnd(g.stop)
		contents, err := g.store(ctx, hotBlobs, small)
		if err != nil {
			return nil, none, none, err
		}
		var calls []call
		for _, c := range contents {
			calls = append(calls, g.ensure(c))
		}
		address, answer, err := l.startEchoJSON()
		return g, readSide("gateway", g.address, connections, calls), readSide("bare Echo, JSON", address, connections, []call{answer}), err
	}
}

// sampleCopy is the answer of the bare Echo handler. It is as long as a real answer.
func sampleCopy() api.Copy {
	now := time.Date(2026, 1, 1, 0, 0, 0, 123456000, time.UTC)
	no := false
	return api.Copy{
		Digest: numberedContent(small, 0).digest(), Provider: "kimi", Account: "0123456789ab@127.0.0.1:40000",
		Purpose: "file-extract", Extension: ".txt", State: string(ledger.StateReady),
		ProviderFileID: "file_01h455vb4pex5vsknk084sn02q", Name: "document.txt", Size: small,
		CreatedAt: now, ReadyAt: &now, LastUsedAt: &now, OperationID: "01a1ffb6-f5ad-7c0b-951d-7b1ecb905909", Created: &no,
	}
}

// newCopyDelay returns how many milliseconds the gateway adds to a new copy,
// compared with the median of as many direct uploads to the provider.
func newCopyDelay(served bool) func(context.Context, *lab) (float64, error) {
	return func(ctx context.Context, l *lab) (_ float64, err error) {
		const copies = 200
		_, baseURL, err := l.startKimi()
		if err != nil {
			return 0, err
		}
		g, err := l.startWithKimi(ctx, served, baseURL)
		if err != nil {
			return 0, err
		}
		defer func() {
			g.stop()
			err = errors.Join(err, os.RemoveAll(g.data))
		}()
		contents, err := g.store(ctx, copies, documentSize)
		if err != nil {
			return 0, err
		}
		conn, err := dial(ctx, g.address)
		if err != nil {
			return 0, err
		}
		defer conn.close()
		direct, err := kimi.Open(providers.Settings{APIKey: kimiKey, BaseURL: baseURL})
		if err != nil {
			return 0, err
		}
		var through, straight []time.Duration
		for i, c := range contents {
			begin := time.Now()
			if err := conn.do(g.ensure(c), false); err != nil {
				return 0, err
			}
			through = append(through, time.Since(begin))
			begin = time.Now()
			if err := uploadStraight(ctx, direct, newContent(documentSize), i); err != nil {
				return 0, err
			}
			straight = append(straight, time.Since(begin))
		}
		return (middle(through) - middle(straight)).Seconds() * 1000, nil
	}
}

func middle(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func uploadStraight(ctx context.Context, p providers.Provider, c *content, n int) error {
	_, err := p.Upload(ctx, providers.Upload{
		Purpose: "file-extract", Name: fmt.Sprintf("straight-%d.txt", n), MediaType: "text/plain", Size: c.size,
		Open: c.open,
	})
	return err
}

// copiesMemory is the peak memory of a gateway while many large copies are made at
// once.
type copiesMemory struct {
	copies int
	size   int64
}

// measure returns the gateway's peak memory in MiB.
func (m copiesMemory) measure(ctx context.Context, l *lab) (mebibytes float64, err error) {
	if err := l.needDisk(2 * int64(m.copies) * m.size); err != nil {
		return 0, err
	}
	kimi, baseURL, err := l.startKimi()
	if err != nil {
		return 0, err
	}
	g, err := l.startWithKimi(ctx, false, baseURL)
	if err != nil {
		return 0, err
	}
	defer func() {
		g.stop()
		err = errors.Join(err, os.RemoveAll(g.data))
	}()
	contents, err := g.store(ctx, m.copies, m.size)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*sampleGrace)
	defer cancel()
	next := make(chan *content, len(contents))
	for _, c := range contents {
		next <- c
	}
	var sources []func() call
	for range m.copies {
		sources = append(sources, func() call {
			// Longer than the gateway waits by itself: 5 GB take their time here.
			c := <-next
			path := blobPath(c.digest()) + "/copies/kimi?name=document.txt"
			return call{request: render("PUT", g.address, path, g.authorization(), "Prefer: wait=600", "Content-Length: 0"), status: http.StatusOK}
		})
	}
	workers, done, err := connect(ctx, g.address, sources, nil)
	if err != nil {
		return 0, err
	}
	_, err = drive(ctx, workers, extent{operations: int64(m.copies)})
	done()
	if err != nil {
		return 0, err
	}
	for _, f := range kimi.Files() {
		if f.Size != m.size {
			return 0, fmt.Errorf("a copy has %d bytes, not %d", f.Size, m.size)
		}
	}
	if n := len(kimi.Files()); n != m.copies {
		return 0, fmt.Errorf("there are %d copies, not %d", n, m.copies)
	}
	peak, err := g.peakMemory()
	return float64(peak) / (1 << 20), err
}
