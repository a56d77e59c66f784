// Command bench measures the gateway beside its yardsticks: a bare Echo handler,
// MinIO itself, and nginx. Both sides of a comparison are measured in the same
// run on the same machine, in turns, so that ratios mean something where absolute
// figures don't.
//
//	SERVICES_FSYNC=on scripts/services run go run ./scripts/bench [--only REGEXP] [--json FILE]
//
// With --against FOLDER it measures the gateway beside that of another checkout
// instead, in pairs of samples, and a target is missed where it is more than 3 %
// slower. With --pgo it measures the processor time of a request beside that of a
// gateway built without cmd/cas/hot.pgo.
//
// It builds the gateway, starts it in both its forms (embedded, and served on
// Postgres and MinIO), starts the yardsticks as processes of their own, and ends
// all of them. It exits with 1 where something failed to run or gave wrong bytes,
// and with --strict also where a target was missed.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	rounds   int
	duration time.Duration
	only     *regexp.Regexp
	quick    bool
	strict   bool
	list     bool
	json     string
	profiles string
	against  string
	pgo      bool
}

func main() {
	yardsticks := map[string]func([]string, io.Writer) error{echoCommand: runEcho, proxyCommand: runProxy}
	if len(os.Args) > 1 && yardsticks[os.Args[1]] != nil {
		if err := yardsticks[os.Args[1]](os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its inputs and outputs as parameters. It returns the exit code.
func run(ctx context.Context, args []string, out, progress io.Writer) int {
	o, err := parseFlags(args, progress)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(progress, "bench:", err)
		return 2
	}
	selected := selectCases(o)
	if o.list {
		for _, c := range selected {
			fmt.Fprintf(out, "%-26s %s\n", c.name(), c.what())
		}
		return 0
	}
	r, err := measure(ctx, o, selected, progress)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(progress, "bench: interrupted")
		return 130
	case err != nil:
		fmt.Fprintln(progress, "bench:", err)
		return 1
	}
	r.print(out)
	if o.pgo {
		r.printProfileVerdict(out)
	}
	if o.json != "" {
		if err := writeJSON(o.json, r); err != nil {
			fmt.Fprintln(progress, "bench:", err)
			return 1
		}
	}
	if r.Failed > 0 || o.strict && r.Missed > 0 {
		return 1
	}
	return 0
}

func parseFlags(args []string, errs io.Writer) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each side of a comparison is measured, in turns")
	flags.DurationVar(&o.duration, "duration", 2*time.Second, "how long one sample takes")
	flags.StringVar(&only, "only", "", "measure only the cases whose name matches this `regexp`; see --list")
	flags.BoolVar(&o.quick, "quick", false, "2 short rounds and small uploads: shows that everything runs, and little more")
	flags.BoolVar(&o.strict, "strict", false, "exit with 1 where a target is missed")
	flags.BoolVar(&o.list, "list", false, "list the cases")
	flags.StringVar(&o.json, "json", "", "write the results to this `file`, too")
	flags.StringVar(&o.profiles, "profiles", "", "leave a CPU profile of the gateway in this `folder` for each comparison, from a sample that doesn't count")
	flags.StringVar(&o.against, "against", "", "compare with the gateway of the checkout in this `folder`, instead of with yardsticks")
	flags.BoolVar(&o.pgo, "pgo", false, "compare the processor time of a request with and without cmd/cas/hot.pgo, over ten rounds of the hot paths")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("no arguments are taken, and there is %q", flags.Arg(0))
	}
	if o.against != "" && o.pgo {
		return o, errors.New("--against and --pgo exclude each other")
	}
	if o.pgo {
		o.rounds, only = pgoRounds, cmp.Or(only, pgoCases)
	}
	if o.quick {
		o.rounds, o.duration = 2, 300*time.Millisecond
	}
	if o.rounds < 1 || o.duration <= 0 {
		return o, errors.New("--rounds and --duration must be above 0")
	}
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return o, fmt.Errorf("--only: %w", err)
	}
	return o, nil
}

func selectCases(o options) []benchCase {
	var selected []benchCase
	for _, c := range cases(o) {
		if o.only.MatchString(c.name()) {
			selected = append(selected, c)
		}
	}
	return selected
}

// measure runs the cases. Failed cases are part of the report. It returns an error
// only if no case could be measured.
func measure(ctx context.Context, o options, selected []benchCase, progress io.Writer) (*report, error) {
	ours, base, err := o.builds(ctx)
	if err != nil {
		return nil, err
	}
	if base != nil {
		return measureAgainst(ctx, o, ours, *base, progress)
	}
	l, err := newLab(ctx, o, ours, progress)
	if err != nil {
		return nil, err
	}
	defer l.close()
	r := newReport(ctx, o)
	for _, c := range selected {
		fmt.Fprintf(progress, "bench: %-26s ", c.name())
		result := c.run(ctx, l)
		if ctx.Err() != nil {
			fmt.Fprintln(progress)
			break
		}
		fmt.Fprintln(progress, result.verdict())
		r.add(result)
	}
	r.Environment.LoadAfter = loadAverage()
	return r, nil
}

func writeJSON(path string, r *report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
