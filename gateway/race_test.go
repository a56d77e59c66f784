//go:build race

package gateway_test

// raceAllocations is the difference between two counts of a request's allocations that
// the race detector alone can make: it lets pools lose a part of their values.
const raceAllocations = 1

// isRace says that the race detector is on, under which all takes several times as long.
const isRace = true
