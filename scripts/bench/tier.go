package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// mebibyte is the size of the blobs of which a local tier holds many.
const mebibyte = 1 << 20

// startTiered starts a served gateway with a local tier of so many bytes, and returns its
// folder, too.
func (l *lab) startTiered(ctx context.Context, size int64) (g *gateway, dir string, err error) {
	if dir, err = os.MkdirTemp(l.dir, "tier-"); err != nil {
		return nil, "", err
	}
	g, err = l.startServed(ctx, "CAS_CACHE_DIR="+dir, "CAS_CACHE_SIZE="+strconv.FormatInt(size, 10))
	return g, dir, err
}

// tierCopies waits until a tier has the copies of all contents.
func tierCopies(ctx context.Context, dir string, contents []*content) error {
	for _, c := range contents {
		for {
			_, err := os.Stat(filepath.Join(dir, objectKey(c)))
			if err == nil {
				break
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("no copy of %s in the tier: %w", objectKey(c), ctx.Err())
			}
		}
	}
	return nil
}

// readTier compares reads of blobs through a local tier with reads straight from MinIO. A
// tier with room for fewer blobs than there are has none of those that are read next.
func readTier(size int64, blobs, room int) func(context.Context, *lab, int) (*gateway, side, side, error) {
	return func(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
		if err := l.needDisk(int64(2*blobs) * size); err != nil {
			return nil, side{}, side{}, err
		}
		g, dir, err := l.startTiered(ctx, int64(room)*size)
		if err != nil {
			return nil, side{}, side{}, err
		}
		l.atEnd(g.stop)
		contents, err := g.store(ctx, blobs, size)
		if err == nil && room >= blobs {
			// An upload's copy may have been left out while others were flushed.
			var reads []call
			for _, c := range contents {
				reads = append(reads, g.read(c))
			}
			if err = g.do(ctx, reads...); err == nil {
				err = tierCopies(ctx, dir, contents)
			}
		}
		if err != nil {
			return nil, side{}, side{}, err
		}
		s, err := l.services(ctx)
		if err != nil {
			return nil, side{}, side{}, err
		}
		reads, err := readBoth(ctx, g, s, contents)
		if err != nil {
			return nil, side{}, side{}, err
		}
		return g, spreadSide("gateway", g.address, connections, reads.ours), spreadSide("MinIO", reads.address, connections, reads.theirs), nil
	}
}

// checkedFirst is how many answers each connection compares before the measurement.
const checkedFirst = 4

// spreadSide is readSide for many large answers: the connections begin far from each other, and
// compare only a few before the measurement.
func spreadSide(name, address string, connections int, calls []call) side {
	return side{name: name, open: func(ctx context.Context) ([]worker, func(), error) {
		var sources []func() call
		for connection := range connections {
			at := connection * len(calls) / connections
			sources = append(sources, func() call {
				at++
				return calls[at%len(calls)]
			})
		}
		return connect(ctx, address, sources, calls[:min(checkedFirst, len(calls))])
	}}
}

// readTierNginx lets nginx serve the very copy that the gateway serves.
func readTierNginx(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
	g, dir, err := l.startTiered(ctx, 4*large)
	if err != nil {
		return nil, side{}, side{}, err
	}
	l.atEnd(g.stop)
	contents, err := g.store(ctx, 1, large)
	if err == nil {
		err = tierCopies(ctx, dir, contents)
	}
	if err != nil {
		return nil, side{}, side{}, err
	}
	path := "/" + objectKey(contents[0])
	address, err := l.startNginx(ctx, dir, path)
	return g, readSide("gateway", g.address, connections, []call{g.read(contents[0])}),
		readSide("nginx", address, connections, []call{{request: get(address, path), status: 200, answer: contents[0]}}), err
}

// tierRun is a number of parallel reads through a fresh tier that has room for half of the
// blobs.
type tierRun struct {
	reads, blobs int
	size         int64
	peak         func(*gateway, *descriptors) (float64, error)
}

// measure returns the gateway's peak.
func (m tierRun) measure(ctx context.Context, l *lab) (value float64, err error) {
	if err := l.needDisk(2 * int64(m.blobs) * m.size); err != nil {
		return 0, err
	}
	g, dir, err := l.startTiered(ctx, int64(m.blobs/2)*m.size)
	if err != nil {
		return 0, err
	}
	var contents []*content
	defer func() {
		g.stop()
		err = errors.Join(err, os.RemoveAll(g.data), os.RemoveAll(dir),
			l.sharedServices.remove(context.WithoutCancel(ctx), l.sharedServices.bucket, contents))
	}()
	if contents, err = g.store(ctx, m.blobs, m.size); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*sampleGrace)
	defer cancel()
	var sources []func() call
	for i := range m.reads {
		sources = append(sources, func() call { return g.read(contents[i%m.blobs]) })
	}
	workers, done, err := connect(ctx, g.address, sources, nil)
	if err != nil {
		return 0, err
	}
	counted := countDescriptors(g)
	_, err = drive(ctx, workers, extent{operations: int64(m.reads)})
	counted.stop()
	done()
	if err != nil {
		return 0, err
	}
	return m.peak(g, counted)
}

// memoryPeak is the most memory that was ever resident, in MiB.
func memoryPeak(g *gateway, _ *descriptors) (float64, error) {
	peak, err := g.peakMemory()
	return float64(peak) / (1 << 20), err
}

// descriptorPeak is the most open descriptors.
func descriptorPeak(_ *gateway, d *descriptors) (float64, error) { return float64(d.most), d.err }

// descriptors counts the open descriptors of a process again and again.
type descriptors struct {
	most  int
	err   error
	end   chan struct{}
	ended chan struct{}
}

func countDescriptors(g *gateway) *descriptors {
	d := &descriptors{end: make(chan struct{}), ended: make(chan struct{})}
	dir := filepath.Join("/proc", strconv.Itoa(g.command.Process.Pid), "fd")
	go func() {
		defer close(d.ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var open []os.DirEntry
			if open, d.err = os.ReadDir(dir); d.err != nil {
				return
			}
			d.most = max(d.most, len(open))
			select {
			case <-tick.C:
			case <-d.end:
				return
			}
		}
	}()
	return d
}

func (d *descriptors) stop() {
	close(d.end)
	<-d.ended
}
