package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// kind is a way in which a campaign breaks something.
type kind string

const (
	killGateway  kind = "kill gateway"
	killBackfill kind = "kill backfill"
	stopGateway  kind = "stop gateway" // SIGSTOP, and SIGCONT after the time

	killPostgres kind = "kill Postgres"
	stopPostgres kind = "stop Postgres"
	killMinIO    kind = "kill MinIO"
	stopMinIO    kind = "stop MinIO"

	cutLink      kind = "cut link"
	slowLink     kind = "slow link"
	loseRequests kind = "half-open link, no requests"
	loseAnswers  kind = "half-open link, no answers"

	spoilProvider kind = "spoil provider" // see providerFaults
	loseReplies   kind = "lose replies of provider"

	stepForward kind = "step clock forward"
	stepBack    kind = "step clock back"
	fillDisk    kind = "fill disk"

	fillPostgres kind = "fill disk of Postgres"
	fillMinIO    kind = "fill disk of MinIO"
)

// fault is an entry of the schedule.
type fault struct {
	kind   kind
	target int           // the number of a gateway or of a link
	at     time.Duration // since the beginning of the round
	lasts  time.Duration // 0 if it is over at once
}

func (f fault) String() string {
	return fmt.Sprintf("%.3f s: %s %d for %v", f.at.Seconds(), f.kind, f.target, f.lasts.Round(time.Millisecond))
}

// habit says how often a round has the faults of a kind, and how long they last.
type habit struct {
	kind     kind
	targets  int           // how many things can have it
	every    time.Duration // on average
	sure     bool          // each round has at least one
	shortest time.Duration
	longest  time.Duration
}

// habits are those of a campaign without a focus. The last gateway is never killed, so that
// it would show what leaks.
var habits = []habit{
	{kind: killGateway, targets: gatewayCount - 1, every: 1200 * time.Millisecond, sure: true},
	{kind: killBackfill, targets: 1, every: 5 * time.Second},
	{kind: stopGateway, targets: gatewayCount, every: 8 * time.Second, shortest: 300 * time.Millisecond, longest: 5 * time.Second},
	{kind: killPostgres, targets: 1, every: 15 * time.Second, longest: time.Second},
	{kind: stopPostgres, targets: 1, every: 15 * time.Second, shortest: 500 * time.Millisecond, longest: 7 * time.Second},
	{kind: killMinIO, targets: 1, every: 15 * time.Second, longest: time.Second},
	{kind: stopMinIO, targets: 1, every: 15 * time.Second, shortest: 500 * time.Millisecond, longest: 7 * time.Second},
	{kind: cutLink, targets: linkCount, every: 5 * time.Second, longest: 2 * time.Second},
	{kind: slowLink, targets: linkCount, every: 8 * time.Second, shortest: time.Second, longest: 5 * time.Second},
	{kind: loseRequests, targets: linkCount, every: 12 * time.Second, shortest: time.Second, longest: 8 * time.Second},
	{kind: spoilProvider, targets: len(providerNames), every: 4 * time.Second, shortest: time.Second, longest: 5 * time.Second},
	{kind: loseAnswers, targets: linkCount, every: 12 * time.Second, shortest: time.Second, longest: 8 * time.Second},
	{kind: stepForward, targets: 1, every: 20 * time.Second, shortest: 2 * time.Second, longest: 6 * time.Second},
	{kind: stepBack, targets: 1, every: 20 * time.Second, shortest: 2 * time.Second, longest: 6 * time.Second},
	{kind: fillDisk, targets: gatewayCount, every: 10 * time.Second, shortest: time.Second, longest: 5 * time.Second},
	{kind: fillPostgres, targets: 1, every: 12 * time.Second, shortest: time.Second, longest: 4 * time.Second},
	{kind: fillMinIO, targets: 1, every: 12 * time.Second, shortest: time.Second, longest: 5 * time.Second},
}

// schedule returns the faults of a round, in the order of their times. It depends on the
// arguments only.
func schedule(habits []habit, seed uint64, round int, length time.Duration) []fault {
	var faults []fault
	for i, h := range habits {
		// Each kind has numbers of its own, so that a new kind leaves the others as they were.
		random := rand.New(rand.NewPCG(seed, uint64(round)<<8|uint64(i)))
		next := func() time.Duration { return time.Duration(random.ExpFloat64() * float64(h.every)) }
		first := next()
		if h.sure {
			first = min(first, length/2)
		}
		for at := first; at < length; at += next() {
			f := fault{kind: h.kind, target: random.IntN(h.targets), at: at}
			if h.longest > 0 {
				f.lasts = min(h.shortest+time.Duration(random.Int64N(int64(h.longest-h.shortest))), length-at)
			}
			faults = append(faults, f)
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return int(a.at - b.at) })
	return faults
}
