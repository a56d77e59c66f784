package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// TestHistories checks which histories the model allows.
func TestHistories(t *testing.T) {
	t.Parallel()
	// event number i lasts from second 10i to 10i+1, unless it says otherwise.
	for name, tt := range map[string]struct {
		events  []event
		illegal bool
	}{
		"put, read":                    {events: []event{{action: actionPut, outcome: done}, {action: actionRead, outcome: present}}},
		"read of nothing":              {events: []event{{action: actionRead, outcome: absent}, {action: actionDelete, outcome: absent}}},
		"lost":                         {events: []event{{action: actionPut, outcome: done}, {action: actionRead, outcome: absent}}, illegal: true},
		"out of nothing":               {events: []event{{action: actionRead, outcome: present}}, illegal: true},
		"deleted":                      {events: []event{{action: actionPut, outcome: done}, {action: actionDelete, outcome: done}, {action: actionRead, outcome: absent}}},
		"back without a put":           {events: []event{{action: actionPut, outcome: done}, {action: actionDelete, outcome: done}, {action: actionRead, outcome: present}}, illegal: true},
		"delete denies":                {events: []event{{action: actionPut, outcome: done}, {action: actionDelete, outcome: absent}}, illegal: true},
		"unknown put done":             {events: []event{{action: actionPut, outcome: unknown}, {action: actionRead, outcome: present}}},
		"unknown put not done":         {events: []event{{action: actionPut, outcome: unknown}, {action: actionRead, outcome: absent}}},
		"unknown put done late":        {events: []event{{action: actionPut, outcome: unknown}, {action: actionRead, outcome: absent}, {action: actionRead, outcome: present}}},
		"unknown put done, then not":   {events: []event{{action: actionPut, outcome: unknown}, {action: actionRead, outcome: present}, {action: actionRead, outcome: absent}}, illegal: true},
		"unknown delete":               {events: []event{{action: actionPut, outcome: done}, {action: actionDelete, outcome: unknown}, {action: actionRead, outcome: present}, {action: actionRead, outcome: absent}}},
		"stale at another gateway":     {events: staleRead(1, 1, time.Second)},
		"too stale at another gateway": {events: staleRead(1, 1, staleness+time.Second), illegal: true},
		"stale at the same gateway":    {events: staleRead(0, 1, time.Second), illegal: true},
		"stale after a restart":        {events: staleRead(0, 2, time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory()
			for i, e := range tt.events {
				if e.end == 0 {
					e.begin = time.Duration(10*i) * time.Second
					e.end = e.begin + time.Second
				}
				h.add(e)
			}
			findings := checkHistory(h)
			if (len(findings) > 0) != tt.illegal {
				t.Errorf("findings: %v\n%s", findings, h.describe(""))
			}
		})
	}
}

// staleRead is a read after a delete by gateway 0, which still brings the blob.
func staleRead(gateway int, life int64, after time.Duration) []event {
	return []event{
		{action: actionPut, outcome: done, life: 1, begin: 0, end: 1},
		{action: actionDelete, outcome: done, life: 1, begin: 2, end: 3},
		{action: actionRead, outcome: present, gateway: gateway, life: life, begin: 3 + after, end: 4 + after},
	}
}

// Many writes without an answer don't make a check slow, also if it finds that no order
// explains the answers.
func TestManyUnknownOutcomes(t *testing.T) {
	t.Parallel()
	const n = 40
	for name, isIllegal := range map[string]bool{"legal": false, "illegal": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var events []event
			add := func(a action, o outcome) {
				at := time.Duration(len(events)) * time.Second
				events = append(events, event{action: a, outcome: o, begin: at, end: at + 1})
			}
			for range n {
				add(actionPut, unknown)
				add(actionDelete, unknown)
			}
			for range n {
				add(actionRead, present)
				add(actionRead, absent)
			}
			if isIllegal { // n deletes explain n absent reads after a present one, and no more
				add(actionRead, present)
				add(actionRead, absent)
			}
			if got := checkEvents(events); (got == porcupine.Illegal) != isIllegal || got == porcupine.Unknown {
				t.Errorf("the check says %v", got)
			}
		})
	}
}

// The orders that the model leaves out make no difference: it agrees with the plain one.
func TestNoOrderIsMissed(t *testing.T) {
	t.Parallel()
	plain := porcupine.Model{
		Init: func() any { return false },
		Step: func(before, input, _ any) (bool, any) {
			isReadable, e := before.(bool), input.(step).event
			switch {
			case e.action == actionPut:
				return true, true
			case e.action == actionDelete:
				return e.outcome != absent || !isReadable, false
			}
			return isReadable == (e.outcome == present), isReadable
		},
	}
	kinds := []event{
		{action: actionPut, outcome: done}, {action: actionPut, outcome: unknown},
		{action: actionDelete, outcome: done}, {action: actionDelete, outcome: absent}, {action: actionDelete, outcome: unknown},
		{action: actionRead, outcome: present}, {action: actionRead, outcome: absent},
	}
	random := rand.New(rand.NewPCG(1, 2))
	legal := 0
	const histories = 3000
	for range histories {
		var events []event
		for at := range 2 + random.IntN(8) {
			e := kinds[random.IntN(len(kinds))]
			e.begin = time.Duration(10 * at)
			e.end = e.begin + 1 + time.Duration(random.IntN(40))
			events = append(events, e)
		}
		ops := operations(events, fresh)
		want := porcupine.CheckOperations(plain, ops)
		if got := porcupine.CheckOperations(readable, ops); got != want {
			t.Fatalf("legal: %v, and %v by the plain model: %v", got, want, events)
		}
		if want {
			legal++
		}
	}
	if legal < histories/10 || legal > histories*9/10 {
		t.Errorf("%d of %d histories are legal", legal, histories)
	}
}
