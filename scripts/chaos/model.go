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
// second is for the processor, which is busy.
const staleness = 2*probeInterval + index.DefaultDeafTTL + time.Second

// operations translates the events of a blob or a file for the checker. A read that may have been
// answered from a cache begins as early as the cached answer may be.
func operations(events []event) []porcupine.Operation {
	var all []porcupine.Operation
	for _, e := range events {
		begin, end := e.begin, int64(e.end)
		if e.action == actionRead && e.outcome == present {
			begin = earliest(e, events)
		}
		if e.outcome == unknown {
			end = math.MaxInt64
		}
		all = append(all, porcupine.Operation{ClientId: e.client, Input: e, Call: int64(begin), Return: end})
	}
	return all
}

// earliest returns the earliest time whose state a read may show: its beginning, or, if
// another gateway was deleting the blob lately, the beginning of that delete.
func earliest(read event, events []event) time.Duration {
	begin := read.begin
	for _, e := range events {
		elsewhere := e.gateway != read.gateway || e.life != read.life
		if e.action == actionDelete && elsewhere && e.begin < begin && e.end > read.begin-staleness {
			begin = e.begin
		}
	}
	return begin
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
		switch porcupine.CheckOperationsTimeout(readable, operations(h.of(d)), checkLimit) {
		case porcupine.Illegal:
			findings = append(findings, finding{"history", "no order of these requests explains their answers", d})
		case porcupine.Unknown:
			findings = append(findings, finding{"unchecked", "the history could not be checked in time", d})
		}
	}
	return findings
}
