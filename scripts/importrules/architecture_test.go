package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root = "../.."
	page = root + "/docs/architecture.md"
)

// room is a row of the page's table: packages, and the packages that they may import.
type room struct{ packages, may []string }

var (
	quoted = regexp.MustCompile("`([^`]+)`")
	symbol = regexp.MustCompile(`^([a-z0-9/]+)\.(?:\(\*?(\w+)\)\.)?(\w+)$`)
)

// section returns the part of the page below a heading, up to the next heading of the
// same level.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", page, heading)
	}
	body, _, _ := strings.Cut(after, "\n## ")
	return body
}

// codes returns the texts in backquotes.
func codes(text string) (all []string) {
	for _, match := range quoted.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	return all
}

func rooms(t *testing.T) (all []room) {
	t.Helper()
	for line := range strings.Lines(section(t, "The rooms")) {
		cells := strings.Split(line, "|")
		if len(cells) == 5 && len(codes(cells[1])) > 0 {
			all = append(all, room{codes(cells[1]), codes(cells[2])})
		}
	}
	if len(all) == 0 {
		t.Fatal("the page has no table of rooms")
	}
	return all
}

func packagesOfTheModule(t *testing.T) []pkg {
	t.Helper()
	t.Chdir(root) // list returns the packages below the working directory
	packages, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// The table of the page names each package once, and no other.
func TestThePageNamesEveryPackage(t *testing.T) {
	named := map[string]int{}
	for _, r := range rooms(t) {
		for _, name := range r.packages {
			named[name]++
		}
	}
	for _, p := range packagesOfTheModule(t) {
		name := local(p.ImportPath)
		if named[name] != 1 {
			t.Errorf("docs/architecture.md names %s %d times; want once", name, named[name])
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("docs/architecture.md names %s, which is no package", name)
	}
}

// The table has every import of a room, and no import that a rule forbids.
func TestThePageNamesEveryImport(t *testing.T) {
	all := rooms(t)
	packages := packagesOfTheModule(t)
	for _, r := range all {
		for _, p := range packages {
			from := local(p.ImportPath)
			if !slices.Contains(r.packages, from) {
				continue
			}
			for _, path := range p.Imports {
				to := local(path)
				if to != path && !slices.Contains(r.packages, to) && !matchesAny(r.may, to) {
					t.Errorf("%s imports %s, and docs/architecture.md does not say so", from, to)
				}
			}
		}
		for _, to := range r.may {
			if strings.HasSuffix(to, "...") {
				continue
			}
			if !slices.ContainsFunc(r.packages, func(from string) bool { _, ok := allowed(from, module+"/"+to); return ok }) {
				t.Errorf("docs/architecture.md says that %s may import %s, and the rules forbid it", r.packages, to)
			}
		}
	}
}

// functions returns the functions of a package: f, and Type.f for methods.
func functions(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil {
		t.Error(err)
		return nil
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, dir, entry.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				receiver := f.Recv.List[0].Type
				if pointer, ok := receiver.(*ast.StarExpr); ok {
					receiver = pointer.X
				}
				if generic, ok := receiver.(*ast.IndexExpr); ok {
					receiver = generic.X
				}
				if id, ok := receiver.(*ast.Ident); ok {
					name = id.Name + "." + name
				}
			}
			found[name] = true
		}
	}
	return found
}

// Every function that a walk names exists.
func TestThePageNamesFunctionsThatExist(t *testing.T) {
	t.Parallel()
	byPackage := map[string]map[string]bool{}
	count := 0
	for _, code := range codes(section(t, "Four walks")) {
		match := symbol.FindStringSubmatch(code)
		if match == nil {
			t.Errorf("a walk names %q, which is not written as package.Function or package.(*Type).Method", code)
			continue
		}
		dir, name := match[1], match[3]
		if match[2] != "" {
			name = match[2] + "." + name
		}
		if byPackage[dir] == nil {
			byPackage[dir] = functions(t, dir)
		}
		if !byPackage[dir][name] {
			t.Errorf("a walk names %s, which does not exist", code)
		}
		count++
	}
	if count < 20 {
		t.Errorf("the walks name %d functions only", count)
	}
}
