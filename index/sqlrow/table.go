// Package sqlrow holds what both index drivers do with rows: one list of columns
// for each table, from which select lists, placeholders, arguments and scan targets
// come; where clauses; and pages that continue after a cursor.
//
// It is no query builder: each driver writes its own statements, and puts the lists
// into them. A column is declared once, for both databases; a Dialect knows how
// each of them stores its type.
package sqlrow

import (
	"fmt"
	"slices"
	"strings"
)

// Scanner is a row of a result: a pgx.Row, a *sql.Row or *sql.Rows.
type Scanner interface{ Scan(targets ...any) error }

// Column is one column of a table whose rows are values of R. The functions of this
// package that are named for a type make one.
type Column[R any] struct {
	Name string
	Type Type
	// Target returns the place into which the column is scanned.
	Target func(d *Dialect, row *R) any
	// Value returns the column as an argument of a statement.
	Value func(d *Dialect, row *R) any
	// Scanned, if set, is called after all columns of a row are scanned.
	Scanned func(row *R)
}

// Table is a list of columns, in the order of all lists that come from it.
type Table[R any] struct {
	dialect *Dialect
	columns []Column[R]
}

// New makes a table of a database with this dialect.
func New[R any](d *Dialect, columns ...Column[R]) Table[R] { return Table[R]{d, columns} }

// Without returns the table without some of its columns. It panics if there is no
// column of such a name.
func (t Table[R]) Without(names ...string) Table[R] {
	t.mustHave(names)
	t.columns = slices.DeleteFunc(slices.Clone(t.columns), func(c Column[R]) bool { return slices.Contains(names, c.Name) })
	return t
}

// Only returns the table with no columns but these, in the table's order. It panics
// if there is no column of such a name.
func (t Table[R]) Only(names ...string) Table[R] {
	t.mustHave(names)
	t.columns = slices.DeleteFunc(slices.Clone(t.columns), func(c Column[R]) bool { return !slices.Contains(names, c.Name) })
	return t
}

// mustHave panics unless all names are columns. Tables are made when the program
// starts, so a wrong name ends every test.
func (t Table[R]) mustHave(names []string) {
	for _, name := range names {
		if !slices.ContainsFunc(t.columns, func(c Column[R]) bool { return c.Name == name }) {
			panic(fmt.Sprintf("sqlrow: no column %q", name))
		}
	}
}

// list joins the text of each column; i counts from 0.
func (t Table[R]) list(write func(i int, c Column[R]) string) string {
	parts := make([]string, len(t.columns))
	for i, c := range t.columns {
		parts[i] = write(i, c)
	}
	return strings.Join(parts, ", ")
}

// Len returns the number of columns.
func (t Table[R]) Len() int { return len(t.columns) }

// Names lists the columns as they are stored: "id, size, metadata".
func (t Table[R]) Names() string {
	return t.list(func(_ int, c Column[R]) string { return c.Name })
}

// NamesOf is Names with the alias of a row: "f.id, f.size, f.metadata".
func (t Table[R]) NamesOf(alias string) string {
	return t.list(func(_ int, c Column[R]) string { return alias + "." + c.Name })
}

// Select lists the columns as Scan reads them: "id, size, metadata::text".
func (t Table[R]) Select() string {
	return t.list(func(_ int, c Column[R]) string { return t.dialect.selected(c.Name, c.Type) })
}

// SelectOf is Select with the alias of a row.
func (t Table[R]) SelectOf(alias string) string {
	return t.list(func(_ int, c Column[R]) string { return t.dialect.selected(alias+"."+c.Name, c.Type) })
}

// Placeholders lists one placeholder for each column; the first has this number.
// Those of Postgres give their types: "$4::text, $5::bigint".
func (t Table[R]) Placeholders(first int) string {
	return t.list(func(i int, c Column[R]) string { return t.dialect.typedPlaceholder(first+i, c.Type) })
}

// ArrayPlaceholders is Placeholders for Slices, in Postgres: "$4::text[], $5::bigint[]".
func (t Table[R]) ArrayPlaceholders(first int) string {
	return t.list(func(i int, c Column[R]) string { return t.dialect.typedPlaceholder(first+i, c.Type) + "[]" })
}

// Definitions lists the columns with their types in Postgres: "id text, size bigint".
func (t Table[R]) Definitions() string {
	return t.list(func(_ int, c Column[R]) string { return c.Name + " " + string(c.Type) })
}

// Assignments lists the columns for a set clause that takes all of them from
// another row, such as "excluded": "size = excluded.size, name = excluded.name".
func (t Table[R]) Assignments(from string) string {
	return t.list(func(_ int, c Column[R]) string { return c.Name + " = " + from + "." + c.Name })
}

// AssignPlaceholders lists the columns for a set clause that takes all of them from
// arguments; the first has this number: "size = $4::bigint, name = $5::text".
func (t Table[R]) AssignPlaceholders(first int) string {
	return t.list(func(i int, c Column[R]) string { return c.Name + " = " + t.dialect.typedPlaceholder(first+i, c.Type) })
}

// Args returns the columns of a row as arguments, for Placeholders, after others.
func (t Table[R]) Args(row R, before ...any) []any {
	return t.AppendArgs(append(make([]any, 0, len(before)+len(t.columns)), before...), row)
}

// AppendArgs appends the columns of a row to arguments.
func (t Table[R]) AppendArgs(args []any, row R) []any {
	for _, c := range t.columns {
		args = append(args, c.Value(t.dialect, &row))
	}
	return args
}

// Slices returns one argument for each column, the values of all rows, for
// ArrayPlaceholders, after others. No column may be an array itself.
func (t Table[R]) Slices(rows []R, before ...any) []any {
	values := make([][]any, len(t.columns))
	for _, row := range rows {
		for i, value := range t.Args(row) {
			values[i] = append(values[i], value)
		}
	}
	args := append(make([]any, 0, len(before)+len(t.columns)), before...)
	for i, c := range t.columns {
		args = append(args, typedSlice(c.Type, values[i]))
	}
	return args
}

// Record returns the columns of a row by name, as JSON for Postgres's
// jsonb_to_recordset with Definitions.
func (t Table[R]) Record(row R) map[string]any {
	record := make(map[string]any, len(t.columns))
	for _, c := range t.columns {
		record[c.Name] = jsonValue(c.Type, c.Value(t.dialect, &row))
	}
	return record
}

// Scan reads the columns of Select, and into more the columns after them.
func (t Table[R]) Scan(from Scanner, more ...any) (R, error) {
	var row, none R
	targets := make([]any, 0, len(t.columns)+len(more))
	for _, c := range t.columns {
		targets = append(targets, c.Target(t.dialect, &row))
	}
	if err := from.Scan(append(targets, more...)...); err != nil {
		return none, err
	}
	for _, c := range t.columns {
		if c.Scanned != nil {
			c.Scanned(&row)
		}
	}
	return row, nil
}
