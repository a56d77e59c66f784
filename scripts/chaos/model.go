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
	Init: func() any { return false },
	Step: func(state, input, _ any) (bool, any) {
		e := input.(event)
		switch {
		case e.action == actionPut:
			return true, true
		case e.action == actionDelete && e.outcome == absent:
			return !state.(bool), false
		case e.action == actionDelete:
			return true, false
		default:
			return state.(bool) == (e.outcome == present), state
		}
	},
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

// operations translates the events of a blob or a file for the checker. The begin of an
// event is the earliest time at which it may have had its effect, or its answer.
func operations(events []event, begin func(event) time.Duration) []porcupine.Operation {
	var all []porcupine.Operation
	for _, e := range events {
		end := int64(e.end)
		if e.outcome == unknown {
			end = math.MaxInt64
		}
		all = append(all, porcupine.Operation{ClientId: e.client, Input: e, Call: int64(begin(e)), Return: end})
	}
	return all
}

// fresh is the begin of an event if no gateway answers from a cache.
func fresh(e event) time.Duration { return e.begin }

// stale is the begin of an event if gateways do: a read may show a blob that another
// gateway was deleting lately, and then it begins with that delete.
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
