package sqlrow

import "strings"

// Order is the order of a list.
type Order bool

// The orders.
const (
	Ascending  Order = false
	Descending Order = true
)

// Page is a part of a list: up to Limit rows, in the order of columns that together
// are unique, so that the next page can continue after the last row.
type Page struct {
	Columns []string
	Order   Order
	Limit   int
}

// After adds the condition that a row comes after the one with these values.
func (p Page) After(w *Where, values ...any) {
	beyond := " > "
	if p.Order == Descending {
		beyond = " < "
	}
	marks := make([]string, len(values))
	for i := range marks {
		marks[i] = "?"
	}
	w.Add("("+strings.Join(p.Columns, ", ")+")"+beyond+"("+strings.Join(marks, ", ")+")", values...)
}

// Query completes a query, from the text before its where clause.
func (p Page) Query(from string, w *Where) (query string, args []any) {
	order := make([]string, len(p.Columns))
	for i, column := range p.Columns {
		order[i] = column
		if p.Order == Descending {
			order[i] += " desc"
		}
	}
	query = from + w.Text() + "\norder by " + strings.Join(order, ", ") + "\nlimit " + w.Arg(int64(p.Limit))
	return query, w.Args()
}
