package main

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source string
		want   []string // one for each line of the answer
	}{
		"none":                        {"func F(ctx context.Context, a, b, c, d, e int) (x, y int, err error) { panic(0) }", nil},
		"a boolean parameter":         {"func F(a bool) {}", []string{"a.go:2:6: p/F has a boolean parameter"}},
		"a variadic boolean":          {"func F(a ...bool) {}", []string{"p/F has a boolean parameter"}},
		"two boolean parameters":      {"func F(a bool, b string, c bool) {}", []string{"p/F has a boolean parameter"}},
		"a boolean result":            {"func F() bool { panic(0) }", nil},
		"six parameters":              {"func F(a, b, c int, d, e, f string) {}", []string{"p/F has 6 parameters"}},
		"four results without names":  {"func F() (int, int, int, error) { panic(0) }", []string{"p/F has 4 results"}},
		"two faults":                  {"func F(a bool) (x, y, z int, err error) { panic(0) }", []string{"p/F has a boolean parameter, 4 results"}},
		"a function for this package": {"func f(a bool) {}", nil},
		"a function in a function":    {"func F() { _ = func(a bool) {} }", nil},
		"a method of a pointer":       {"type T struct{}\nfunc (*T) F(a bool) {}", []string{"p/T.F has a boolean parameter"}},
		"a method of a hidden type":   {"type t struct{}\nfunc (t) F(a bool) {}", []string{"p/t.F has a boolean parameter"}},
		"a method of a generic type":  {"type T[A, B any] struct{}\nfunc (T[A, B]) F(a bool) {}", []string{"p/T.F has a boolean parameter"}},
		"a method of an interface":    {"type T interface {\n\tany\n\tF(a bool)\n\tg(a bool)\n}", []string{"a.go:4:2: p/T.F has a boolean parameter"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := check(tree(map[string]string{"p/a.go": "package p\n" + c.source}), nil)
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("%q, error %v; want %q", got, err, c.want)
			}
			for i, want := range c.want {
				if !strings.HasSuffix(got[i], want) {
					t.Errorf("%q; want %q", got[i], want)
				}
			}
		})
	}
}

func TestFilesOfTheCheck(t *testing.T) {
	t.Parallel()
	const fault = "package p\nfunc F(a bool) {}"
	got, err := check(tree(map[string]string{
		"a.go": fault, "b/c/d.go": fault,
		"a_test.go": fault, "e.txt": "func F(a bool) {}", "testdata/f.go": fault, ".g/h.go": fault, "_i/j.go": fault,
	}), nil)
	want := []string{"a.go:2:6: F has a boolean parameter", "b/c/d.go:2:6: b/c/F has a boolean parameter"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, error %v; want %q", got, err, want)
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	files := tree(map[string]string{"p/a.go": "package p\nfunc F(a bool) {}\nfunc G(a bool) {}\nfunc H() {}"})
	got, err := check(files, map[string]string{"p/F": "", "p/H": "", "p/I": ""})
	want := []string{
		"p/a.go:3:6: p/G has a boolean parameter",
		"p/H is allowed to break the rule, and does not",
		"p/I is allowed to break the rule, and does not",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, error %v; want %q", got, err, want)
	}
}

func TestBrokenSource(t *testing.T) {
	t.Parallel()
	if got, err := check(tree(map[string]string{"a.go": "package"}), nil); err == nil {
		t.Errorf("%q, and no error", got)
	}
}

// tree is a folder with these files.
func tree(files map[string]string) fstest.MapFS {
	made := make(fstest.MapFS, len(files))
	for name, content := range files {
		made[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return made
}
