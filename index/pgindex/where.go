package pgindex

import (
	"strconv"
	"strings"
)

// where gathers the conditions of a query. Those that are not asked for are left out
// of its text, so that Postgres plans for those that are.
type where struct {
	conditions []string
	args       []any
}

// arg returns the placeholder of an argument.
func (w *where) arg(value any) string {
	w.args = append(w.args, value)
	return "$" + strconv.Itoa(len(w.args))
}

// add adds a condition, in which a question mark stands for each of the arguments.
func (w *where) add(condition string, args ...any) {
	for _, value := range args {
		condition = strings.Replace(condition, "?", w.arg(value), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// text is the clause.
func (w *where) text() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return "\nwhere " + strings.Join(w.conditions, "\n  and ")
}
