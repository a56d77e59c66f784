package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// finding is a broken promise.
type finding struct {
	promise string
	text    string
	subject string // of events; empty if it is about none
}

// report is the result of a campaign.
type report struct {
	seed     uint64
	lasted   time.Duration
	findings []finding
	figures  map[string]int
	history  *history
}

// shown bounds the findings of which the report shows the history.
const shown = 5

func (r report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %.0f s\n", r.seed, r.lasted.Seconds())
	for _, name := range slices.Sorted(maps.Keys(r.figures)) {
		fmt.Fprintf(&b, "  %-28s %d\n", name, r.figures[name])
	}
	fmt.Fprintf(&b, "findings: %d\n", len(r.findings))
	for i, f := range r.findings {
		fmt.Fprintf(&b, "%s: %s\n", f.promise, f.text)
		if f.subject != "" {
			fmt.Fprintf(&b, "  %v\n", f.subject)
			if i < shown {
				b.WriteString(r.history.describe(f.subject))
			}
		}
	}
	return b.String()
}
