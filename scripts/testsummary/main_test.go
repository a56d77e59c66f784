package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	const passed = `{"Action":"output","Package":"a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"a","Test":"TestGood","Elapsed":2.5}
{"Action":"output","Package":"a","Test":"TestDB","Output":"=== RUN   TestDB\n"}
{"Action":"output","Package":"a","Test":"TestDB","Output":"    db_test.go:7: DB is not set\n"}
{"Action":"skip","Package":"a","Test":"TestDB","Elapsed":0}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t2.6s\n"}
{"Action":"pass","Package":"a","Elapsed":2.6}
`
	for name, c := range map[string]struct {
		input  string
		failed bool
		want   []string
		not    []string
	}{
		"a skipped test is told with its reason": {
			input: passed,
			want:  []string{"ok  \ta\t2.6s\n", "1 skipped: DB is not set\n\ta TestDB\n", "2.50 s  a TestGood"},
			not:   []string{"chatter", "RUN"},
		},
		"a failed test": {
			input: `{"Action":"output","Package":"b","Test":"TestBad","Output":"    b_test.go:3: wrong\n"}
{"Action":"fail","Package":"b","Test":"TestBad","Elapsed":1}
{"Action":"output","Package":"b","Output":"FAIL\tb\t1s\n"}
{"Action":"fail","Package":"b"}`,
			failed: true,
			want:   []string{"b_test.go:3: wrong\n", "FAIL\tb\t1s\n"},
		},
		"a panic": {
			input: `{"Action":"output","Package":"b","Test":"TestBad","Output":"panic: x\n"}
{"Action":"fail","Package":"b"}`,
			failed: true,
			want:   []string{"panic: x"},
		},
		"a failed build": {
			input: `{"ImportPath":"b","Action":"build-output","Output":"b.go:1: undefined\n"}
{"ImportPath":"b","Action":"build-fail"}`,
			failed: true,
			want:   []string{"b.go:1: undefined"},
		},
		"a line that is no event": {input: "go: downloading x\n", want: []string{"go: downloading x"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s := summary{out: &out, tests: map[testName]*test{}, packages: map[string][]string{}}
			if err := s.read(strings.NewReader(c.input)); err != nil {
				t.Fatal(err)
			}
			s.printSkipped()
			s.printSlowest(10)
			if s.failed != c.failed {
				t.Errorf("failed = %v, want %v", s.failed, c.failed)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("lacks %q:\n%s", want, &out)
				}
			}
			for _, not := range c.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("has %q:\n%s", not, &out)
				}
			}
		})
	}
}
