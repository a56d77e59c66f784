package main

import (
	"testing"
	"time"
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
