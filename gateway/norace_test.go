//go:build !race

package gateway_test

// raceAllocations is explained where the race detector is on.
const raceAllocations = 0

// isRace is explained where the race detector is on.
const isRace = false
