package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// noise is how much slower than the other build a build may be measured: 3 %.
const noise = 0.97

// pgoCases are the hot paths whose processor time decides about profile-guided
// optimisation; a million files take too long to import for that. pgoRounds is how many pairs of samples are taken of each.
const (
	pgoCases  = "^(get-4k-echo|get-64k-echo|copy-hit-embedded|get-4k-minio|put-4k-existing)$"
	pgoRounds = 10
)

// build is a gateway to measure: a checkout, and how it is compiled.
type build struct {
	name  string
	root  string
	flags []string // for go build
}

// builds returns the build to measure, and the one to compare it with, if any.
func (o options) builds(ctx context.Context) (ours build, base *build, err error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return build{}, nil, err
	}
	ours = build{name: "gateway", root: root, flags: withProfile(root)}
	switch {
	case o.profiles != "": // it becomes the profile
		ours.flags = []string{"-pgo=off"}
	case o.pgo:
		if ours.flags == nil {
			return build{}, nil, errors.New("make a profile first, by  make pgo")
		}
		return ours, &build{name: "without profile", root: root, flags: []string{"-pgo=off"}}, nil
	case o.against != "":
		other, err := filepath.Abs(o.against)
		if err != nil {
			return build{}, nil, err
		}
		return ours, &build{name: filepath.Base(other), root: other, flags: withProfile(other)}, nil
	}
	return ours, nil, nil
}

// withProfile returns the flag for the profile of a checkout, or nothing if it has none.
func withProfile(root string) []string {
	profile := filepath.Join(root, "cmd", "cas", "hot.pgo")
	if _, err := os.Stat(profile); err != nil {
		return nil
	}
	return []string{"-pgo=" + profile}
}

// sampler takes samples of one case at one build.
type sampler struct {
	unit          string
	connections   int
	runs          int
	lowerIsBetter bool
	take          func(ctx context.Context) (float64, error)
}

func (c comparison) sampler(ctx context.Context, l *lab) (sampler, error) {
	g, ours, _, err := c.open(ctx, l, c.connections)
	if err != nil {
		return sampler{}, err
	}
	s := sampler{unit: unitRequests, connections: c.connections, runs: l.rounds}
	s.take = func(ctx context.Context) (float64, error) {
		got, err := c.sample(ctx, l, ours)
		return got.rate(), err
	}
	if l.pgo {
		s.unit, s.lowerIsBetter = unitMicroseconds, true
		s.take = func(ctx context.Context) (float64, error) {
			before, err := g.cpuTime()
			if err != nil {
				return 0, err
			}
			got, err := c.sample(ctx, l, ours)
			if err != nil {
				return 0, err
			}
			after, err := g.cpuTime()
			return float64((after - before).Microseconds()) / float64(got.operations), err
		}
	}
	return s, nil
}

func (m limit) sampler(_ context.Context, l *lab) (sampler, error) {
	return sampler{unit: m.unit, connections: m.connections, runs: m.runs, lowerIsBetter: true, take: func(ctx context.Context) (float64, error) {
		return m.measure(ctx, l)
	}}, nil
}

func (b backfillRun) sampler(ctx context.Context, l *lab) (sampler, error) {
	s, err := l.services(ctx)
	return sampler{unit: unitRequests, connections: b.concurrency, runs: l.rounds, take: func(ctx context.Context) (float64, error) {
		return b.backfill(ctx, l, s)
	}}, err
}

// measureAgainst runs the selected cases at two builds, in turns. Cases keep state, so
// each build has its own.
func measureAgainst(ctx context.Context, o options, ours, base build, progress io.Writer) (*report, error) {
	l, err := newLab(ctx, o, ours, progress)
	if err != nil {
		return nil, err
	}
	defer l.close()
	other, err := newLab(ctx, o, base, progress)
	if err != nil {
		return nil, err
	}
	defer other.close()
	r := newReport(ctx, o)
	r.Base = base.name
	theirs := selectCases(o)
	for i, c := range selectCases(o) {
		fmt.Fprintf(progress, "bench: %-26s ", c.name())
		one := compareBuilds(ctx, c, theirs[i], l, other)
		if ctx.Err() != nil {
			fmt.Fprintln(progress)
			break
		}
		fmt.Fprintln(progress, one.verdict())
		r.add(one)
	}
	r.Environment.LoadAfter = loadAverage()
	return r, nil
}

// compareBuilds takes samples of a case at both builds, in pairs. The first of a pair
// is each build's in turn.
func compareBuilds(ctx context.Context, ours, theirs benchCase, l, base *lab) result {
	r := result{Name: ours.name(), What: ours.what(), Yardstick: base.build.name, Target: noise}
	mine, err := ours.sampler(ctx, l)
	if err != nil {
		return r.failed(err)
	}
	other, err := theirs.sampler(ctx, base)
	if err != nil {
		return r.failed(fmt.Errorf("%s: %w", base.build.name, err))
	}
	r.Unit, r.Connections, r.LowerIsBetter = mine.unit, mine.connections, mine.lowerIsBetter
	if l.pgo {
		r.Target = 0 // all cases together decide
	}
	for round := range mine.runs {
		pair := []struct {
			sampler
			samples *[]float64
		}{{mine, &r.Gateway.Samples}, {other, &r.Reference.Samples}}
		if round%2 == 1 {
			pair[0], pair[1] = pair[1], pair[0]
		}
		for _, one := range pair {
			value, err := one.take(ctx)
			if err != nil {
				return r.failed(err)
			}
			*one.samples = append(*one.samples, value)
		}
	}
	r.compare()
	return r
}

// printProfileVerdict says whether a profile pays: whether the processor time of a
// request, over all cases and in the median of the rounds, falls by 3 % or more.
func (r *report) printProfileVerdict(out io.Writer) {
	var savings []float64
	for round := range r.Rounds {
		var sum, n float64
		for _, one := range r.Results {
			if round < len(one.Ratios) {
				sum += math.Log(one.Ratios[round])
				n++
			}
		}
		if n > 0 {
			savings = append(savings, 100*(1-math.Exp(-sum/n)))
		}
	}
	verdict := "it does not pay: leave cmd/cas/hot.pgo out"
	saved := median(savings)
	if saved >= 100*(1-noise) && r.Failed == 0 {
		verdict = "it pays: keep cmd/cas/hot.pgo"
	}
	fmt.Fprintf(out, "\nWith the profile a request takes %.1f %% less processor time (median of %d rounds, each the geometric mean of the cases; 3 %% is the bound): %s.\nThe rounds:", saved, len(savings), verdict)
	for _, one := range savings {
		fmt.Fprintf(out, " %.1f", one)
	}
	fmt.Fprintln(out)
}

// cpuTime returns the processor time that the process has taken, in steps of 10 ms.
func (p *process) cpuTime() (time.Duration, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid), "stat"))
	if err != nil {
		return 0, err
	}
	return parseCPUTime(string(b))
}

// parseCPUTime reads utime and stime, fields 14 and 15 of /proc/PID/stat; see proc(5).
// Linux counts them in hundredths of a second on all machines that Go runs on.
func parseCPUTime(stat string) (time.Duration, error) {
	_, rest, _ := strings.Cut(stat[max(0, strings.LastIndexByte(stat, ')')):], " ") // the name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	var ticks time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond, nil
}
