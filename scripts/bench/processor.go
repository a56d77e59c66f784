package main

import (
	"context"
	"time"
)

// turns is how often the processor time of two processes is compared in a run: other
// programs' load on the machine comes and goes.
const turns = 4

// load is requests to a process whose processor time is measured.
type load struct {
	process *process
	address string
	sources []func() call // one for each connection
}

// cost returns the seconds of processor time of one request.
func (l load) cost(ctx context.Context, duration time.Duration) (float64, error) {
	workers, done, err := connect(ctx, l.address, l.sources, nil)
	if err != nil {
		return 0, err
	}
	defer done()
	if _, err := drive(ctx, workers, extent{duration: duration / 2}); err != nil { // warm
		return 0, err
	}
	before, err := l.process.cpuTime()
	if err != nil {
		return 0, err
	}
	got, err := drive(ctx, workers, extent{duration: duration})
	if err != nil {
		return 0, err
	}
	after, err := l.process.cpuTime()
	return (after - before).Seconds() / float64(got.operations), err
}

// compareProcessor returns how many times the processor time of theirs a request to ours
// takes.
func (l *lab) compareProcessor(ctx context.Context, ours, theirs load) (float64, error) {
	var sum, base float64
	for range turns {
		one, err := ours.cost(ctx, l.duration/turns)
		if err != nil {
			return 0, err
		}
		other, err := theirs.cost(ctx, l.duration/turns)
		if err != nil {
			return 0, err
		}
		sum, base = sum+one, base+other
	}
	return sum / base, nil
}

// journalProcessor returns how many times the processor time of a hot read without a
// journal it takes with one.
func journalProcessor(ctx context.Context, l *lab) (float64, error) {
	var loads []load
	for _, setting := range []string{"on", "off"} {
		g, err := l.startEmbedded(ctx, "", "CAS_JOURNAL="+setting)
		if err != nil {
			return 0, err
		}
		defer g.stop()
		contents, err := g.store(ctx, hotBlobs, small)
		if err != nil {
			return 0, err
		}
		var calls []call
		for _, c := range contents {
			calls = append(calls, g.read(c))
		}
		loads = append(loads, load{process: g.process, address: g.address, sources: inTurn(16, calls)})
	}
	return l.compareProcessor(ctx, loads[0], loads[1])
}
