// Command testsummary reads the output of `go test -json` and prints a line for each
// package, the output of each failure, and then the tests that were skipped, with the
// reason of each, and the slowest tests:
//
//	go test -json ./... | go run ./scripts/testsummary
//
// It exits with 1 if a test or a build failed.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	slowest := flag.Int("slowest", 0, "how many of the slowest tests to list")
	flag.Parse()
	s := summary{out: os.Stdout, tests: map[testName]*test{}, packages: map[string][]string{}}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	s.printSkipped()
	s.printSlowest(*slowest)
	if s.failed {
		os.Exit(1)
	}
}

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

type testName struct{ pkg, test string }

// test is a test that has not ended, or that is worth a line at the end.
type test struct {
	output  []string
	took    time.Duration
	skipped bool
}

// summary is the state of a run of tests.
type summary struct {
	out      io.Writer
	tests    map[testName]*test
	packages map[string][]string // output of packages that have not ended
	failed   bool
}

func (s *summary) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			s.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line takes a line of the input. A line that is no event is printed as it is.
func (s *summary) line(line string) {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.Action == "" {
		fmt.Fprint(s.out, line)
		return
	}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(s.out, e.Output)
	case e.Action == "build-fail":
		s.failed = true
	case e.Test == "":
		s.packageEvent(e)
	default:
		s.testEvent(e)
	}
}

func (s *summary) packageEvent(e event) {
	switch e.Action {
	case "output":
		s.packages[e.Package] = append(s.packages[e.Package], e.Output)
	case "pass", "skip":
		// The last line is "ok" or "no test files".
		if output := s.packages[e.Package]; len(output) > 0 {
			fmt.Fprint(s.out, output[len(output)-1])
		}
		delete(s.packages, e.Package)
	case "fail":
		s.failed = true
		s.printUnfinished(e.Package)
		fmt.Fprint(s.out, strings.Join(s.packages[e.Package], ""))
		delete(s.packages, e.Package)
	}
}

// printUnfinished prints the output of the tests during which the package ended, as it
// does by a panic or a time-out.
func (s *summary) printUnfinished(pkg string) {
	for name, t := range s.tests {
		if name.pkg == pkg && len(t.output) > 0 && !t.skipped {
			fmt.Fprint(s.out, strings.Join(t.output, ""))
		}
	}
}

func (s *summary) testEvent(e event) {
	name := testName{e.Package, e.Test}
	t := s.tests[name]
	if t == nil {
		t = &test{}
		s.tests[name] = t
	}
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
		return
	case "fail":
		s.failed = true
		fmt.Fprint(s.out, strings.Join(t.output, ""))
		t.output = nil
	case "pass":
		t.output = nil
	case "skip":
		t.skipped = true
	default:
		return
	}
	t.took = time.Duration(e.Elapsed * float64(time.Second))
}

// position is where a test's message was written, such as "    main_test.go:12: ".
var position = regexp.MustCompile(`^\s*[\w.]+\.go:\d+: `)

// reason is what a skipped test said.
func (t *test) reason() string {
	for _, line := range t.output {
		if at := position.FindString(line); at != "" {
			return strings.TrimSpace(line[len(at):])
		}
	}
	return "no reason given"
}

func (s *summary) printSkipped() {
	reasons := map[string][]string{}
	for name, t := range s.tests {
		if t.skipped {
			reasons[t.reason()] = append(reasons[t.reason()], name.pkg+" "+name.test)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		names := reasons[reason]
		slices.Sort(names)
		fmt.Fprintf(s.out, "\n%d skipped: %s\n", len(names), reason)
		for _, name := range names {
			fmt.Fprintln(s.out, "\t"+name)
		}
	}
}

// printSlowest lists top-level tests: a subtest's time is part of that of its parent.
func (s *summary) printSlowest(n int) {
	var names []testName
	for name := range s.tests {
		if !strings.Contains(name.test, "/") {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b testName) int {
		return cmp.Or(cmp.Compare(s.tests[b].took, s.tests[a].took), strings.Compare(a.pkg+a.test, b.pkg+b.test))
	})
	for _, name := range names[:min(n, len(names))] {
		fmt.Fprintf(s.out, "%8.2f s  %s %s\n", s.tests[name].took.Seconds(), name.pkg, name.test)
	}
}
