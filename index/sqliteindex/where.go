package sqliteindex

import "strings"

// where gathers the conditions of a query. Those that are not asked for are left out
// of its text, so that SQLite plans for those that are.
type where struct {
	conditions []string
	args       []any
}

// add adds a condition, with its arguments.
func (w *where) add(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

// text is the clause.
func (w *where) text() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return "\nwhere " + strings.Join(w.conditions, "\n  and ")
}
