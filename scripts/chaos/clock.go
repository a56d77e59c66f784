package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// clock is the clock of Postgres, which decides about leases and grace periods. libfaketime
// puts it before or behind the machine's. It can't do that to gateways: a Go program reads
// the clock without the C library.
type clock struct {
	file    string // has the difference, in seconds
	library string // empty: there is no libfaketime, and the clock stays right

	// stepped lets one step at a time be made.
	stepped *sync.Mutex
}

// clockStep is how far the clock is stepped, in seconds. It is much more than a lease.
const clockStep = 10

func newClock(dir string) (clock, error) {
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil || len(found) == 0 {
		return clock{}, err
	}
	c := clock{filepath.Join(dir, "clock"), found[0], new(sync.Mutex)}
	return c, c.set(0)
}

// environment returns the variables of a process that has this clock.
func (c clock) environment() []string {
	if c.library == "" {
		return nil
	}
	return []string{
		"LD_PRELOAD=" + c.library, "FAKETIME_TIMESTAMP_FILE=" + c.file,
		"FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}
}

// set sets the difference to the machine's clock, in seconds.
func (c clock) set(seconds int) error {
	next := c.file + ".next"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+d\n", seconds), 0o644); err != nil {
		return err
	}
	return os.Rename(next, c.file)
}

// step steps the clock, forward or back, and back to right after a while. While it is
// stepped, a second step is left out.
func (c clock) step(seconds int, lasting func()) error {
	if !c.stepped.TryLock() {
		return nil
	}
	defer c.stepped.Unlock()
	err := c.set(seconds)
	lasting()
	return errors.Join(err, c.set(0))
}
