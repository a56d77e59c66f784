package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Units of the figures.
const (
	unitRequests     = "req/s"
	unitMegabytes    = "MB/s"
	unitMiB          = "MiB"
	unitDescriptors  = "descriptors"
	unitSeconds      = "s"
	unitMilliseconds = "ms"
	unitMicroseconds = "µs CPU"
	unitTimes        = "×"
)

// series has the samples of one side, one for each round.
type series struct {
	Median  float64   `json:"median"`
	Samples []float64 `json:"samples"`
}

// result is the result of one case.
type result struct {
	Name        string `json:"name"`
	What        string `json:"what"`
	Connections int    `json:"connections,omitempty"`
	Unit        string `json:"unit"`
	Gateway     series `json:"gateway"`

	// Of a comparison:
	Yardstick string    `json:"yardstick,omitempty"`
	Reference series    `json:"reference,omitzero"`
	Ratio     float64   `json:"ratio,omitempty"`  // median of Ratios
	Ratios    []float64 `json:"ratios,omitempty"` // gateway by yardstick, of each round

	// Between two builds: the ratio is the yardstick's value by the gateway's, so that
	// more is better also here.
	LowerIsBetter bool `json:"lower_is_better,omitempty"`

	Absolute bool    `json:"absolute"` // Target is a bound for the gateway's median, not for Ratio
	Target   float64 `json:"target,omitempty"`
	Met      *bool   `json:"met,omitempty"` // nil: without a target, or failed
	Error    string  `json:"error,omitempty"`
}

// compare works the samples out.
func (r *result) compare() {
	r.Gateway.Median = median(r.Gateway.Samples)
	met := false
	if r.Absolute {
		met = r.Gateway.Median < r.Target
	} else {
		r.Reference.Median = median(r.Reference.Samples)
		for i, ours := range r.Gateway.Samples {
			ratio := ours / r.Reference.Samples[i]
			if r.LowerIsBetter {
				ratio = 1 / ratio
			}
			r.Ratios = append(r.Ratios, ratio)
		}
		// The two samples of a round were taken right after one another, so whatever
		// else the machine did at that time weighed on both.
		r.Ratio = median(r.Ratios)
		met = r.Ratio >= r.Target
	}
	if r.Target != 0 {
		r.Met = &met
	}
}

func (r result) failed(err error) result {
	r.Error, r.Met = err.Error(), nil
	return r
}

// verdict is the outcome in a few words.
func (r result) verdict() string {
	switch {
	case r.Error != "":
		return "FAILED: " + r.Error
	case r.Absolute:
		return fmt.Sprintf("%s %s  (below %s: %s)", figure(r.Gateway.Median, r.Unit), r.Unit, figure(r.Target, r.Unit), r.outcome())
	case r.Met == nil:
		return fmt.Sprintf("%.3g × %s", r.Ratio, r.Yardstick)
	}
	return fmt.Sprintf("%.3g × %s  (at least %g: %s)", r.Ratio, r.Yardstick, r.Target, r.outcome())
}

func (r result) outcome() string {
	switch {
	case r.Error != "":
		return "FAILED"
	case r.Met == nil:
		return "-"
	case *r.Met:
		return "met"
	}
	return "MISSED"
}

// median returns the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// figure formats a value with as many digits as it deserves.
func figure(value float64, unit string) string {
	switch unit {
	case unitSeconds:
		return fmt.Sprintf("%.3f", value)
	case unitMilliseconds, unitMicroseconds, unitTimes:
		return fmt.Sprintf("%.2f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

// report is everything that a run found out.
type report struct {
	Environment environment `json:"environment"`
	Base        string      `json:"base,omitempty"` // the build compared with; empty: yardsticks
	Rounds      int         `json:"rounds"`
	Duration    string      `json:"duration"`
	Quick       bool        `json:"quick"`
	Results     []result    `json:"results"`
	Met         int         `json:"met"`
	Missed      int         `json:"missed"`
	Failed      int         `json:"failed"`
}

func newReport(ctx context.Context, o options) *report {
	return &report{Environment: describeEnvironment(ctx), Rounds: o.rounds, Duration: o.duration.String(), Quick: o.quick}
}

func (r *report) add(one result) {
	r.Results = append(r.Results, one)
	switch {
	case one.Error != "":
		r.Failed++
	case one.Met == nil:
	case *one.Met:
		r.Met++
	default:
		r.Missed++
	}
}

// print writes the report as a table.
func (r *report) print(out io.Writer) {
	e := r.Environment
	fmt.Fprintf(out, "\n%s, commit %s, %s\n%s, %d CPUs (%s), Linux %s\nload average %s before, %s after\n",
		e.Time.Format(time.RFC3339), e.Commit, e.Go, e.Arch, e.CPUs, e.CPUModel, e.Kernel, e.LoadBefore, e.LoadAfter)
	fmt.Fprintf(out, "%s; %s; %s\n", e.Postgres, e.MinIO, e.Nginx)
	if r.Base != "" {
		fmt.Fprintf(out, "compared with the build %q; a ratio below 1 means that the other build is better\n", r.Base)
	}
	fmt.Fprintf(out, "%d rounds in turns, %s a sample; medians; the range is that of the rounds' ratios, or of the values\n\n", r.Rounds, r.Duration)

	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tCONN.\tN\tGATEWAY\tYARDSTICK\tRATIO\tRANGE\tTARGET\t")
	for _, one := range r.Results {
		fmt.Fprintln(w, strings.Join(one.row(), "\t"))
	}
	w.Flush()
	for _, one := range r.Results {
		if one.Error != "" {
			fmt.Fprintf(out, "\n%s failed: %s\n", one.Name, one.Error)
		}
	}
	fmt.Fprintf(out, `
Load comes from raw HTTP/1.1 connections on the same machine, PUTs straight to MinIO from minio-go. The
gateway runs with its default settings and logs each request to a file; %d blobs take turns in hot reads.
`, hotBlobs)
	if r.Quick {
		fmt.Fprintln(out, "A quick run: its figures mean little.")
	}
	fmt.Fprintf(out, "\n%d targets met, %d missed, %d failed\n", r.Met, r.Missed, r.Failed)
}

// row is a line of the table.
func (r result) row() []string {
	cells := []string{r.What, "", fmt.Sprint(len(r.Gateway.Samples)), "", "", "", "", "", r.outcome()}
	if r.Connections > 0 {
		cells[1] = fmt.Sprint(r.Connections)
	}
	if r.Error != "" {
		return cells
	}
	cells[3] = figure(r.Gateway.Median, r.Unit) + " " + r.Unit
	if r.Absolute {
		if values := r.Gateway.Samples; len(values) > 1 {
			cells[6] = figure(slices.Min(values), r.Unit) + "–" + figure(slices.Max(values), r.Unit)
		}
		cells[7] = "< " + figure(r.Target, r.Unit) + " " + r.Unit
		if r.Unit == unitSeconds || r.Unit == unitMilliseconds {
			cells[7] = fmt.Sprintf("< %g %s", r.Target, r.Unit)
		}
		return cells
	}
	cells[4] = figure(r.Reference.Median, r.Unit) + " " + r.Unit + ", " + r.Yardstick
	cells[5] = fmt.Sprintf("%.3g", r.Ratio)
	cells[6] = fmt.Sprintf("%.2f–%.2f", slices.Min(r.Ratios), slices.Max(r.Ratios))
	if r.Met != nil {
		cells[7] = fmt.Sprintf("≥ %g", r.Target)
	}
	return cells
}

// environment describes the machine and versions, on which the figures depend.
type environment struct {
	Time       time.Time `json:"time"`
	Commit     string    `json:"commit"`
	Go         string    `json:"go"`
	Arch       string    `json:"arch"`
	CPUs       int       `json:"cpus"`
	CPUModel   string    `json:"cpu_model"`
	Kernel     string    `json:"kernel"`
	Postgres   string    `json:"postgres"`
	MinIO      string    `json:"minio"`
	Nginx      string    `json:"nginx"`
	LoadBefore string    `json:"load_before"` // averages over 1, 5 and 15 minutes
	LoadAfter  string    `json:"load_after"`
}

// describeEnvironment describes this machine. A value that it can't find is "unknown".
func describeEnvironment(ctx context.Context) environment {
	e := environment{
		Time:       time.Now().UTC().Truncate(time.Second),
		Commit:     "unknown",
		Go:         runtime.Version(),
		Arch:       runtime.GOARCH,
		CPUs:       runtime.NumCPU(),
		CPUModel:   "unknown",
		Kernel:     "unknown",
		Postgres:   "Postgres unknown",
		MinIO:      "MinIO unknown",
		Nginx:      "nginx unknown",
		LoadBefore: loadAverage(),
	}
	if commit, err := output(ctx, "", os.Environ(), "git", "rev-parse", "--short=12", "HEAD"); err == nil {
		e.Commit = commit
		if changes, err := output(ctx, "", os.Environ(), "git", "status", "--porcelain"); err == nil && changes != "" {
			e.Commit += " with changes"
		}
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
				e.CPUModel = strings.TrimSpace(value)
				break
			}
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		e.Kernel = strings.TrimSpace(string(release))
	}
	if server := os.Getenv("CAS_TEST_DATABASE_URL"); server != "" {
		if version, err := psql(ctx, server, "show server_version"); err == nil {
			e.Postgres = "Postgres " + version
		}
	}
	if program := os.Getenv("CAS_TEST_MINIO_BINARY"); program != "" {
		if version, err := output(ctx, "", os.Environ(), program, "--version"); err == nil {
			first, _, _ := strings.Cut(version, "\n")
			e.MinIO = "MinIO: " + first
		}
	}
	if program, err := exec.LookPath("nginx"); err == nil {
		// It tells its version on standard error.
		if version, err := exec.CommandContext(ctx, program, "-v").CombinedOutput(); err == nil {
			e.Nginx = strings.TrimPrefix(strings.TrimSpace(string(version)), "nginx version: ")
		}
	}
	return e
}

// loadAverage tells how busy the machine has been.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
