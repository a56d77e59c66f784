package main

import (
	"slices"
	"testing"
	"time"
)

func TestScheduleFollowsFromTheSeed(t *testing.T) {
	t.Parallel()
	const length = 3 * time.Minute
	faults := schedule(habits, 7, 3, length)
	if !slices.Equal(faults, schedule(habits, 7, 3, length)) {
		t.Error("the same seed has two schedules")
	}
	if slices.Equal(faults, schedule(habits, 8, 3, length)) || slices.Equal(faults, schedule(habits, 7, 4, length)) {
		t.Error("another seed or round has the same schedule")
	}
	counts := map[kind]int{}
	for _, f := range faults {
		counts[f.kind]++
		if f.at+f.lasts > length {
			t.Errorf("%v lasts longer than the round", f)
		}
	}
	for _, h := range habits {
		if counts[h.kind] == 0 {
			t.Errorf("no %s in three minutes", h.kind)
		}
	}
}

func TestEachRoundHasAKill(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		faults := schedule(habits, seed, 0, time.Second)
		if !slices.ContainsFunc(faults, func(f fault) bool { return f.kind == killGateway }) {
			t.Errorf("the first round of seed %d kills no gateway", seed)
		}
	}
}

func TestContentsFollowFromTheSeed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for round := range 2 {
		again := roundContents(1, round, blobCount)
		for i, c := range roundContents(1, round, blobCount) {
			if again[i].digest != c.digest {
				t.Error("the same seed has two contents")
			}
			if seen[c.digest.Hex()] {
				t.Error("two blobs are the same")
			}
			seen[c.digest.Hex()] = true
		}
	}
}
