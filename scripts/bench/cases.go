package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	small  = 4 << 10
	medium = 64 << 10
	large  = 64 << 20

	// hotBlobs is how many blobs the reads of small ones take turns with.
	hotBlobs = 16
	// largePuts is how many large bodies a sample uploads: few, for the disk's sake.
	largePuts = 4
)

// benchCase is something to measure.
type benchCase interface {
	name() string
	what() string
	run(ctx context.Context, l *lab) result
	// sampler gets the case ready to be measured without its yardstick, beside another
	// build of the gateway.
	sampler(ctx context.Context, l *lab) (sampler, error)
}

// cases lists everything there is to measure. Targets are those of the design.
func cases(o options) []benchCase {
	memory := func(name, what string, served, known bool) limit {
		m := memoryRun{served: served, known: known, uploads: 64, size: large}
		if o.quick {
			m.size = 4 << 20
		}
		return limit{id: name, title: what + fmt.Sprintf(", %d × %d MiB at once", m.uploads, m.size>>20), unit: unitMiB, target: 256, runs: 1, connections: m.uploads, measure: m.measure}
	}
	copies := copiesMemory{copies: 50, size: 100_000_000}
	if o.quick {
		copies.size = 4 << 20
	}
	files, objects := manyFiles, 3000
	if o.quick {
		files, objects = 10*fewFiles, 300
	}
	tier := tierRun{reads: 500, blobs: 16, size: large}
	tierBlobs := 1000
	if o.quick {
		tier.reads, tier.size, tierBlobs = 50, 4<<20, 50
	}
	tierMemory, tierDescriptors := tier, tier
	tierMemory.peak, tierDescriptors.peak = memoryPeak, descriptorPeak
	tierTitle := fmt.Sprintf("%d parallel reads of %d MiB through a local tier for half of the blobs", tier.reads, tier.size>>20)
	starts := max(o.rounds, 5)
	return []benchCase{
		comparison{id: "get-4k-echo", title: "GET 4 KiB, hot, embedded", connections: 32, size: small, target: 0.85, open: hotEmbedded(small)},
		comparison{id: "get-64k-echo", title: "GET 64 KiB, hot, embedded", connections: 32, size: medium, target: 0.85, open: hotEmbedded(medium)},
		comparison{id: "get-4k-minio", title: "GET 4 KiB, hot, served", connections: 32, size: small, target: 5, open: readServed(small, hotBlobs)},
		comparison{id: "get-64k-minio", title: "GET 64 KiB, hot, served", connections: 32, size: medium, target: 5, open: readServed(medium, hotBlobs)},
		comparison{id: "get-64m-minio", title: "GET 64 MiB from MinIO, verified once", connections: 1, size: large, target: 0.75, open: readServed(large, 1)},
		comparison{id: "get-64m-minio-4", title: "GET 64 MiB from MinIO, verified once", connections: 4, size: large, open: readServed(large, 1)},
		comparison{id: "get-64m-nginx", title: "GET 64 MiB from the folder, verified once", connections: 1, size: large, target: 0.8, open: readFolder},
		comparison{id: "tier-64m-nginx", title: "GET 64 MiB in the local tier, verified once", connections: 1, size: large, target: 0.9, open: readTierNginx},
		comparison{id: "tier-64m-minio", title: "GET 64 MiB in the local tier, verified once", connections: 1, size: large, target: 1.8, open: readTier(large, 1, 4)},
		comparison{id: "tier-fill-64m", title: "GET 64 MiB, verified once, not in the local tier, filling it", connections: 1, size: large, target: 0.75, open: readTier(large, 6, 3)},
		comparison{id: "tier-1m-32", title: fmt.Sprintf("GET 1 MiB, %d blobs in the local tier", tierBlobs), connections: 32, size: mebibyte, target: 3, open: readTier(mebibyte, tierBlobs, 2*tierBlobs)},
		limit{id: "tier-memory", title: "Peak memory, " + tierTitle, unit: unitMiB, target: 256, runs: 1, connections: tier.reads, measure: tierMemory.measure},
		limit{id: "tier-descriptors", title: "Most descriptors, " + tierTitle, unit: unitDescriptors, target: 2000, runs: 1, connections: tier.reads, measure: tierDescriptors.measure},
		comparison{id: "put-4k-new", title: "PUT 4 KiB, new, served", connections: 16, size: small, target: 0.75, open: putNew(small)},
		comparison{id: "put-64m-new", title: "PUT 64 MiB, new, digest known, served", connections: 1, size: large, operations: largePuts, target: 0.8, open: putNew(large)},
		comparison{id: "put-4k-existing", title: "PUT 4 KiB, existing, served", connections: 16, size: small, target: 5, open: putExisting},
		comparison{id: "copy-hit-embedded", title: "PUT copy that exists, embedded", connections: 32, target: 0.85, open: hotCopies(false)},
		comparison{id: "copy-hit-served", title: "PUT copy that exists, served", connections: 32, target: 0.85, open: hotCopies(true)},
		limit{id: "journal-cpu", title: "Processor time of a hot GET of 4 KiB, by that without a journal", unit: unitTimes, target: 1.03, runs: o.rounds, connections: 16, measure: journalProcessor},
		limit{id: "copy-new-embedded", title: "PUT copy, new, 64 KiB, beyond the provider's own time, embedded", unit: unitMilliseconds, target: 10, runs: o.rounds, connections: 1, measure: newCopyDelay(false)},
		limit{id: "copy-new-served", title: "PUT copy, new, 64 KiB, beyond the provider's own time, served", unit: unitMilliseconds, target: 10, runs: o.rounds, connections: 1, measure: newCopyDelay(true)},
		limit{id: "memory-copies", title: fmt.Sprintf("Peak memory, %d copies of %d MB at once", copies.copies, copies.size/1_000_000), unit: unitMiB, target: 256, runs: 1, connections: copies.copies, measure: copies.measure},
		comparison{id: "file-new-embedded", title: "POST file, 64 KiB, new, embedded", connections: 16, size: medium, target: 0.8, open: createFiles(false)},
		comparison{id: "file-new-served", title: "POST file, 64 KiB, new, served", connections: 16, size: medium, target: 0.8, open: createFiles(true)},
		limit{id: "chat-delay", title: "Chat of 10 KiB whose file is there, beyond a bare ReverseProxy, embedded", unit: unitMilliseconds, target: 1, runs: o.rounds, connections: 1, measure: chatDelay},
		limit{id: "chat-cpu", title: "Processor time of the same chat, by that of a bare ReverseProxy", unit: unitTimes, target: 1.5, runs: o.rounds, connections: 4, measure: chatProcessor},
		limit{id: "chat-first-byte", title: "First event of a streamed chat, after the provider sent it", unit: unitMilliseconds, target: 1, runs: o.rounds, connections: 1, measure: chatFirstByte},
		comparison{id: "chat-inline", title: "Chat of 14 MB with an inline image that is known", connections: 1, target: 0.5, open: inlineChats},
		// At most 1.2 times the cost is at least 1/1.2 of the rate.
		comparison{id: "file-page-embedded", title: fmt.Sprintf("Page of 100 of %d files, embedded", files), connections: 4, target: 0.833, open: listFiles(false, files)},
		comparison{id: "file-page-served", title: fmt.Sprintf("Page of 100 of %d files, served", files), connections: 4, target: 0.833, open: listFiles(true, files)},
		backfillRun{objects: objects, concurrency: 16},
		memory("memory-served-known", "Peak memory, PUT, served", true, true),
		memory("memory-served-unknown", "Peak memory, POST, served", true, false),
		memory("memory-embedded-known", "Peak memory, PUT, embedded", false, true),
		memory("memory-embedded-unknown", "Peak memory, POST, embedded", false, false),
		limit{id: "start-empty", title: "Start to first answer, empty folder", unit: unitSeconds, target: 0.5, runs: starts, measure: startEmpty},
		limit{id: "start-existing", title: "Start to first answer, existing folder", unit: unitSeconds, target: 0.5, runs: starts, measure: startExisting()},
	}
}

// side is one of the two that are compared.
type side struct {
	name string
	// open gets workers ready for a sample. close is called when it's over.
	open func(ctx context.Context) (workers []worker, close func(), err error)
	// after checks and removes the data of a sample. Optional.
	after func(ctx context.Context) error
}

// comparison measures the gateway beside a yardstick.
type comparison struct {
	id, title   string
	connections int
	size        int64 // of one operation's body, in bytes
	operations  int64 // in a sample; 0: as many as fit into the time
	target      float64
	open        func(ctx context.Context, l *lab, connections int) (*gateway, side, side, error)
}

func (c comparison) name() string { return c.id }
func (c comparison) what() string { return c.title }

// run measures both sides in turns.
func (c comparison) run(ctx context.Context, l *lab) result {
	r := result{Name: c.id, What: c.title, Connections: c.connections, Unit: unitRequests, Target: c.target}
	if c.size >= large {
		r.Unit = unitMegabytes
	}
	g, ours, theirs, err := c.open(ctx, l, c.connections)
	if err != nil {
		return r.failed(err)
	}
	r.Yardstick = theirs.name
	for range l.rounds {
		for _, s := range []struct {
			side
			samples *[]float64
		}{{ours, &r.Gateway.Samples}, {theirs, &r.Reference.Samples}} {
			got, err := c.sample(ctx, l, s.side)
			if err != nil {
				return r.failed(fmt.Errorf("%s: %w", s.name, err))
			}
			value := got.rate()
			if r.Unit == unitMegabytes {
				value *= float64(c.size) / 1e6
			}
			*s.samples = append(*s.samples, value)
		}
	}
	r.compare()
	if l.profiles != "" {
		err := g.profile(ctx, filepath.Join(l.profiles, c.id+".pprof"), 2*l.duration, func() error {
			_, err := c.sample(ctx, l, ours)
			return err
		})
		if err != nil {
			return r.failed(fmt.Errorf("profile: %w", err))
		}
	}
	return r
}

// sample measures one side once.
func (c comparison) sample(ctx context.Context, l *lab, s side) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, l.duration+sampleGrace)
	defer cancel()
	workers, done, err := s.open(ctx)
	if err != nil {
		return sample{}, err
	}
	got, err := drive(ctx, workers, extent{l.duration, c.operations})
	done()
	if err == nil && s.after != nil {
		err = s.after(ctx)
	}
	return got, err
}

// readSide makes the same calls again and again, each connection beginning with
// another one.
func readSide(name, address string, connections int, calls []call) side {
	return side{name: name, open: func(ctx context.Context) ([]worker, func(), error) {
		return connect(ctx, address, inTurn(connections, calls), calls)
	}}
}

// inTurn returns a source for each connection. It makes the same calls again and again,
// beginning with another one.
func inTurn(connections int, calls []call) (sources []func() call) {
	for at := range connections {
		sources = append(sources, func() call {
			at++
			return calls[at%len(calls)]
		})
	}
	return sources
}

func hotEmbedded(size int64) func(context.Context, *lab, int) (*gateway, side, side, error) {
	return func(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
		g, err := l.embedded(ctx)
		if err != nil {
			return nil, side{}, side{}, err
		}
		contents, err := g.store(ctx, hotBlobs, size)
		if err != nil {
			return nil, side{}, side{}, err
		}
		var calls []call
		for _, c := range contents {
			calls = append(calls, g.read(c))
		}
		address, answer, err := l.startEcho(size)
		return g, readSide("gateway", g.address, connections, calls), readSide("bare Echo", address, connections, []call{answer}), err
	}
}

func readServed(size int64, blobs int) func(context.Context, *lab, int) (*gateway, side, side, error) {
	return func(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
		g, err := l.served(ctx)
		if err != nil {
			return nil, side{}, side{}, err
		}
		s, err := l.services(ctx)
		if err != nil {
			return nil, side{}, side{}, err
		}
		contents, err := g.store(ctx, blobs, size)
		if err != nil {
			return nil, side{}, side{}, err
		}
		reads, err := readBoth(ctx, g, s, contents)
		if err != nil {
			return nil, side{}, side{}, err
		}
		return g, readSide("gateway", g.address, connections, reads.ours), readSide("MinIO", reads.address, connections, reads.theirs), nil
	}
}

// readFolder lets nginx serve the very file that the gateway serves.
func readFolder(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
	g, err := l.embedded(ctx)
	if err != nil {
		return nil, side{}, side{}, err
	}
	contents, err := g.store(ctx, 1, large)
	if err != nil {
		return nil, side{}, side{}, err
	}
	path := "/" + objectKey(contents[0])
	address, err := l.startNginx(ctx, filepath.Join(g.data, "objects"), path)
	file := call{request: get(address, path), status: http.StatusOK, answer: contents[0]}
	return g, readSide("gateway", g.address, connections, []call{g.read(contents[0])}), readSide("nginx", address, connections, []call{file}), err
}

// uploads records the uploads of a sample, for checking and removal.
type uploads struct {
	mu       sync.Mutex
	contents []*content
}

// next returns a new content.
func (u *uploads) next(size int64) *content {
	c := newContent(size)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.contents = append(u.contents, c)
	return c
}

// take returns the uploads since the last call.
func (u *uploads) take() []*content {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.contents
	u.contents = nil
	return taken
}

// putNew compares uploads of new blobs through the gateway with uploads by an S3
// client. After each sample the last blob is read back, and large ones go.
func putNew(size int64) func(context.Context, *lab, int) (*gateway, side, side, error) {
	return func(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
		g, err := l.served(ctx)
		if err != nil {
			return nil, side{}, side{}, err
		}
		s, err := l.services(ctx)
		if err != nil {
			return nil, side{}, side{}, err
		}
		var mine uploads
		ours := side{name: "gateway"}
		ours.open = func(ctx context.Context) ([]worker, func(), error) {
			var sources []func() call
			for range connections {
				sources = append(sources, func() call { return g.put(mine.next(size), http.StatusCreated) })
			}
			return connect(ctx, g.address, sources, []call{{request: get(g.address, "/healthz"), status: http.StatusOK}})
		}
		ours.after = func(ctx context.Context) error {
			contents := mine.take()
			if err := g.do(ctx, g.read(contents[len(contents)-1])); err != nil {
				return fmt.Errorf("read an uploaded blob back: %w", err)
			}
			if size < large {
				return nil
			}
			return s.remove(ctx, s.bucket, contents)
		}
		return g, ours, putDirect(s, connections, size), nil
	}
}

// putDirect uploads new objects straight to MinIO.
func putDirect(s services, connections int, size int64) side {
	var theirs uploads
	direct := side{name: "MinIO"}
	direct.open = func(ctx context.Context) ([]worker, func(), error) {
		var workers []worker
		for range connections {
			workers = append(workers, func() error { return s.put(ctx, theirs.next(size)) })
		}
		return workers, func() {}, nil
	}
	direct.after = func(ctx context.Context) error {
		contents := theirs.take()
		address, read, err := s.read(ctx, s.direct, contents[len(contents)-1])
		if err != nil {
			return err
		}
		c, err := dial(ctx, address)
		if err != nil {
			return err
		}
		defer c.close()
		if err := c.do(read, true); err != nil {
			return fmt.Errorf("read an uploaded object back: %w", err)
		}
		if size < large {
			return nil
		}
		return s.remove(ctx, s.direct, contents)
	}
	return direct
}

// putExisting compares uploads of blobs that are there already with uploads of
// new objects to MinIO. Each connection has blobs of its own.
func putExisting(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
	g, err := l.served(ctx)
	if err != nil {
		return nil, side{}, side{}, err
	}
	s, err := l.services(ctx)
	if err != nil {
		return nil, side{}, side{}, err
	}
	contents, err := g.store(ctx, connections*hotBlobs, small)
	if err != nil {
		return nil, side{}, side{}, err
	}
	ours := side{name: "gateway", open: func(ctx context.Context) ([]worker, func(), error) {
		var sources []func() call
		for connection := range connections {
			var calls []call
			for _, c := range contents[connection*hotBlobs : (connection+1)*hotBlobs] {
				calls = append(calls, g.put(c, http.StatusOK))
			}
			at := 0
			sources = append(sources, func() call {
				at++
				return calls[at%len(calls)]
			})
		}
		return connect(ctx, g.address, sources, []call{{request: get(g.address, "/healthz"), status: http.StatusOK}})
	}}
	return g, ours, putDirect(s, connections, small), nil
}

// limit measures something that has to stay below a bound.
type limit struct {
	id, title   string
	unit        string
	target      float64
	runs        int
	connections int
	measure     func(ctx context.Context, l *lab) (float64, error)
}

func (m limit) name() string { return m.id }
func (m limit) what() string { return m.title }

func (m limit) run(ctx context.Context, l *lab) result {
	r := result{Name: m.id, What: m.title, Connections: m.connections, Unit: m.unit, Target: m.target, Absolute: true}
	for range m.runs {
		value, err := m.measure(ctx, l)
		if err != nil {
			return r.failed(err)
		}
		r.Gateway.Samples = append(r.Gateway.Samples, value)
	}
	r.compare()
	return r
}

// memoryRun is a number of parallel uploads to a fresh gateway.
type memoryRun struct {
	served, known bool
	uploads       int
	size          int64
}

// measure returns the gateway's peak memory in MiB.
func (m memoryRun) measure(ctx context.Context, l *lab) (mebibytes float64, err error) {
	// Stored once, and where the digest is unknown spooled before that.
	if err := l.needDisk(3 * int64(m.uploads) * m.size); err != nil {
		return 0, err
	}
	var g *gateway
	if m.served {
		g, err = l.startServed(ctx)
	} else {
		g, err = l.startEmbedded(ctx, "")
	}
	if err != nil {
		return 0, err
	}
	var made uploads
	defer func() {
		g.stop()
		err = errors.Join(err, os.RemoveAll(g.data))
		if m.served {
			err = errors.Join(err, l.sharedServices.remove(context.WithoutCancel(ctx), l.sharedServices.bucket, made.take()))
		}
	}()

	ctx, cancel := context.WithTimeout(ctx, 2*sampleGrace)
	defer cancel()
	var sources []func() call
	for range m.uploads {
		sources = append(sources, func() call {
			if m.known {
				return g.put(made.next(m.size), http.StatusCreated)
			}
			return g.post(made.next(m.size))
		})
	}
	workers, done, err := connect(ctx, g.address, sources, nil)
	if err != nil {
		return 0, err
	}
	_, err = drive(ctx, workers, extent{operations: int64(m.uploads)})
	done()
	if err != nil {
		return 0, err
	}
	peak, err := g.peakMemory()
	if err != nil {
		return 0, err
	}
	if err := g.do(ctx, g.read(made.contents[0])); err != nil {
		return 0, fmt.Errorf("read an uploaded blob back: %w", err)
	}
	return float64(peak) / (1 << 20), nil
}

// needDisk makes sure that so many bytes can be written.
func (l *lab) needDisk(n int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(l.dir, &fs); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free < n {
		return fmt.Errorf("%s has %d MiB free, and this needs %d; set TMPDIR to a larger disk", l.dir, free>>20, n>>20)
	}
	return nil
}

// startEmpty returns the seconds to the first answer of a gateway's first start.
func startEmpty(ctx context.Context, l *lab) (float64, error) {
	g, err := l.startEmbedded(ctx, "")
	if err != nil {
		return 0, err
	}
	g.stop()
	return g.started.Seconds(), os.RemoveAll(g.data)
}

// startExisting does so for a folder with a gateway's blobs in it.
func startExisting() func(context.Context, *lab) (float64, error) {
	data := ""
	return func(ctx context.Context, l *lab) (float64, error) {
		if data == "" {
			g, err := l.startEmbedded(ctx, "")
			if err != nil {
				return 0, err
			}
			_, err = g.store(ctx, 100, small)
			g.stop()
			if err != nil {
				return 0, err
			}
			data = g.data
		}
		g, err := l.startEmbedded(ctx, data)
		if err != nil {
			return 0, err
		}
		g.stop()
		return g.started.Round(time.Microsecond).Seconds(), nil
	}
}
