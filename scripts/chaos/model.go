package main

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"casgate/index"
)

// readable is a blob or a file as clients see it: readable or not. An event with an unknown
// outcome never ends, so it may have its effect at any later time, or never.
var readable = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(before, input, _ any) (bool, any) {
		s, step := before.(state), input.(step)
		if !s.take(step) {
			return false, before
		}
		switch {
		case step.action == actionPut:
			s.readable = true
			return true, s
		case step.action == actionDelete && step.outcome == absent:
			return !s.readable, s
		case step.action == actionDelete:
			s.readable = false
			return true, s
		default:
			return s.readable == (step.outcome == present), s
		}
	},
}

// step is an event of a subject.
type step struct {
	event
	number int // among the events of the same action, if the outcome is unknown
	known  int // how many events of the subject have a known outcome
}

// state is what the events so far have led to.
type state struct {
	readable bool
	// known counts the events with a known outcome; puts and deletes count the others.
	known, puts, deletes int
}

// take counts an event. It returns false for an order that needs no look, without which the
// time of a check would double with each event whose outcome is unknown. Such an event may
// come at any time after its beginning. So one without an effect can wait until all known
// ones are over, and of two with the same effect the earlier one can come first.
func (s *state) take(e step) bool {
	if e.outcome != unknown {
		s.known++
		return true
	}
	count, hasEffect := &s.puts, !s.readable
	if e.action == actionDelete {
		count, hasEffect = &s.deletes, s.readable
	}
	if *count != e.number || !hasEffect && s.known < e.known {
		return false
	}
	*count++
	return true
}

// probeInterval is how often a gateway checks that it hears of changes. It is shorter than
// usual, so that rounds can be short.
const probeInterval = 2 * time.Second

// staleness is how long a gateway may serve a blob that another gateway has deleted. The
// announcement of a delete takes milliseconds. If it gets lost, as on a half-open
// connection, the gateway notices that with its next probe, which has as long as the
// interval to arrive. From then on it keeps answers for index.DefaultDeafTTL. The last
// seconds are for the processor, which is busy.
const staleness = 2*probeInterval + index.DefaultDeafTTL + 4*time.Second

// operations translates the events of a blob or a file, which are in the order of their
// beginnings, for the checker. The begin of an event is the earliest time at which it may
// have had its effect, or its answer.
func operations(events []event, begin func(event) time.Duration) []porcupine.Operation {
	var all []porcupine.Operation
	known, numbers := 0, map[action]int{}
	for _, e := range events {
		if e.outcome != unknown {
			known++
		}
	}
	for _, e := range events {
		end, number := int64(e.end), 0
		if e.outcome == unknown {
			end, number = math.MaxInt64, numbers[e.action]
			numbers[e.action]++
		}
		all = append(all, porcupine.Operation{ClientId: e.client, Input: step{e, number, known}, Call: int64(begin(e)), Return: end})
	}
	return all
}

// fresh is the begin of an event if no gateway answers from a cache.
func fresh(e event) time.Duration { return e.begin }

// stale is the begin of an event if gateways do: a read may show a blob that another
// gateway was deleting recently, and then it begins with that delete.
func stale(read event, events []event) time.Duration {
	begin := read.begin
	if read.action != actionRead || read.outcome != present {
		return begin
	}
	for _, e := range events {
		elsewhere := e.gateway != read.gateway || e.life != read.life
		if e.action == actionDelete && elsewhere && e.begin < begin && e.end > read.begin-staleness {
			begin = e.begin
		}
	}
	return begin
}

// checkEvents checks the history of one subject. Most histories have no stale reads, and
// without them the check is much faster.
func checkEvents(events []event) porcupine.CheckResult {
	if porcupine.CheckOperationsTimeout(readable, operations(events, fresh), checkLimit) == porcupine.Ok {
		return porcupine.Ok
	}
	return porcupine.CheckOperationsTimeout(readable, operations(events, func(e event) time.Duration { return stale(e, events) }), checkLimit)
}

// checkLimit bounds the check of one subject's history.
const checkLimit = 20 * time.Second

// checkHistory returns a finding for each blob and file whose history no correct store
// allows.
func checkHistory(h *history) (findings []finding) {
	for _, d := range h.subjects() {
		if isCopy(d) {
			continue
		}
		switch checkEvents(h.of(d)) {
		case porcupine.Illegal:
			findings = append(findings, finding{"history", "no order of these requests explains their answers", d})
		case porcupine.Unknown:
			findings = append(findings, finding{"unchecked", "the history could not be checked in time", d})
		}
	}
	return findings
}
