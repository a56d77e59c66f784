package sqlrow

import "strings"

// Where collects the conditions of a query. A condition that is not asked for is
// left out of the statement, so that the database makes a plan for those that are.
type Where struct {
	dialect    *Dialect
	conditions []string
	args       []any
}

// NewWhere makes a clause without conditions.
func NewWhere(d *Dialect) *Where { return &Where{dialect: d} }

// Arg adds an argument, and returns its placeholder.
func (w *Where) Arg(value any) string {
	w.args = append(w.args, value)
	return w.dialect.Placeholder(len(w.args))
}

// Add adds a condition. Each question mark in it stands for one of the arguments.
func (w *Where) Add(condition string, args ...any) {
	var text strings.Builder
	for _, value := range args {
		before, after, found := strings.Cut(condition, "?")
		if !found {
			panic("sqlrow: more arguments than question marks in " + condition)
		}
		text.WriteString(before + w.Arg(value))
		condition = after
	}
	text.WriteString(condition)
	w.conditions = append(w.conditions, text.String())
}

// Text is the clause, with its first word; it is empty if there are no conditions.
func (w *Where) Text() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return "\nwhere " + strings.Join(w.conditions, "\n  and ")
}

// Args returns the arguments added so far.
func (w *Where) Args() []any { return w.args }
