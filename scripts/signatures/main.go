// Command signatures checks the signatures of the exported functions and methods of
// this module, those of interfaces included. None has a boolean parameter, four
// results or more, or six parameters or more: an option with a name, a result type or
// a struct reads better at the call. The command prints each signature that breaks
// this, and exits with 1 if there is one. `make lint` runs it.
//
// A context does not count as a parameter, an error counts as a result. The command
// does not look at tests.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	mostResults    = 3
	mostParameters = 5
)

// allowed are the functions that may break the rule, and why.
var allowed = map[string]string{
	"cmd/cas/internal/terminal/YesNo":                "it formats a boolean",
	"providers/openaicompat/guessed.Transform":       transformer,
	"providers/openaicompat/mostlyUTF8.Transform":    transformer,
	"providers/openaicompat/strictGB18030.Transform": transformer,
}

const transformer = "it implements transform.Transformer of golang.org/x/text"

func main() {
	violations, err := check(os.DirFS("."), allowed)
	if err != nil {
		fmt.Fprintln(os.Stderr, "signatures:", err)
		os.Exit(1)
	}
	for _, violation := range violations {
		fmt.Println(violation)
	}
	if len(violations) > 0 {
		os.Exit(1)
	}
}

// check returns one line for each violation below root, in the order of the files, and
// one for each function that is allowed a fault it does not have.
func check(root fs.FS, allowed map[string]string) ([]string, error) {
	var violations []string
	used := make(map[string]bool)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case entry.IsDir():
			// The go command leaves out the same directories.
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, function := range functions(file) {
			faults := faults(function.signature)
			qualified := path.Join(path.Dir(name), function.name)
			if len(faults) == 0 {
				continue
			}
			if _, ok := allowed[qualified]; ok {
				used[qualified] = true
				continue
			}
			violations = append(violations, fmt.Sprintf("%s: %s has %s", files.Position(function.at), qualified, strings.Join(faults, ", ")))
		}
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		if !used[name] {
			violations = append(violations, name+" is allowed to break the rule, and does not")
		}
	}
	return violations, err
}

// function is an exported function of a file.
type function struct {
	name      string // with its receiver's or interface's type: "Index.Condemn"
	at        token.Pos
	signature *ast.FuncType
}

// functions returns a file's exported functions and methods, and those of its
// interfaces. A method counts even if its type is not exported: an interface may show it.
func functions(file *ast.File) []function {
	var found []function
	for _, declaration := range file.Decls {
		switch declaration := declaration.(type) {
		case *ast.FuncDecl:
			if !declaration.Name.IsExported() {
				continue
			}
			name := declaration.Name.Name
			if declaration.Recv != nil {
				name = receiver(declaration.Recv.List[0].Type) + "." + name
			}
			found = append(found, function{name, declaration.Name.Pos(), declaration.Type})
		case *ast.GenDecl:
			for _, spec := range declaration.Specs {
				if spec, ok := spec.(*ast.TypeSpec); ok {
					found = append(found, methods(spec)...)
				}
			}
		}
	}
	return found
}

// methods returns the exported methods that an interface declares itself.
func methods(spec *ast.TypeSpec) []function {
	declared, ok := spec.Type.(*ast.InterfaceType)
	if !ok {
		return nil
	}
	var found []function
	for _, method := range declared.Methods.List {
		signature, ok := method.Type.(*ast.FuncType)
		if ok && method.Names[0].IsExported() {
			found = append(found, function{spec.Name.Name + "." + method.Names[0].Name, method.Pos(), signature})
		}
	}
	return found
}

// receiver returns the name of a receiver's type, without pointer and type parameters.
func receiver(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.StarExpr:
		return receiver(expression.X)
	case *ast.IndexExpr:
		return receiver(expression.X)
	case *ast.IndexListExpr:
		return receiver(expression.X)
	case *ast.Ident:
		return expression.Name
	}
	return "?"
}

// faults returns what is wrong with a signature.
func faults(signature *ast.FuncType) []string {
	var faults []string
	parameters := 0
	for _, field := range signature.Params.List {
		if isContext(field.Type) {
			continue
		}
		parameters += width(field)
		if isBool(field.Type) {
			faults = append(faults, "a boolean parameter")
		}
	}
	if parameters > mostParameters {
		faults = append(faults, fmt.Sprintf("%d parameters", parameters))
	}
	results := 0
	if signature.Results != nil {
		for _, field := range signature.Results.List {
			results += width(field)
		}
	}
	if results > mostResults {
		faults = append(faults, fmt.Sprintf("%d results", results))
	}
	return slices.Compact(faults)
}

// width returns how many parameters or results a field declares.
func width(field *ast.Field) int { return max(1, len(field.Names)) }

func isBool(expression ast.Expr) bool {
	if variadic, ok := expression.(*ast.Ellipsis); ok {
		expression = variadic.Elt
	}
	identifier, ok := expression.(*ast.Ident)
	return ok && identifier.Name == "bool"
}

func isContext(expression ast.Expr) bool {
	selector, ok := expression.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	name, ok := selector.X.(*ast.Ident)
	return ok && name.Name == "context" && selector.Sel.Name == "Context"
}
