package importer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mapping maps a field to its column, if the column does not have the field's name.
type Mapping map[Field]string

// ErrMapping: a mapping does not match the columns.
var ErrMapping = errors.New("column mapping")

// ParseMapping reads a mapping such as {"sha256": "content_hash"}. Errors wrap
// ErrMapping.
func ParseMapping(columns map[string]string) (Mapping, error) {
	m := make(Mapping, len(columns))
	for field, column := range columns {
		if !slices.Contains(Fields, Field(field)) {
			return nil, fmt.Errorf("%w: there is no field %q; the fields are %s", ErrMapping, field, join(Fields))
		}
		if column == "" {
			return nil, fmt.Errorf("%w: %s has no column", ErrMapping, field)
		}
		m[Field(field)] = column
	}
	return m, nil
}

// Column is the position of a field in a row.
type Column struct {
	Field Field
	Name  string
	Index int // among the columns that Match was given
}

// Match finds the fields among the columns of a table or list. An unmapped field other
// than FieldKey may be missing. Errors wrap ErrMapping and list the columns.
func (m Mapping) Match(columns []string) ([]Column, error) {
	var found []Column
	for _, field := range Fields {
		name, mapped := m[field]
		if !mapped {
			name = string(field)
		}
		index := slices.Index(columns, name)
		switch {
		case index >= 0:
			found = append(found, Column{field, name, index})
		case mapped || field == FieldKey:
			return nil, fmt.Errorf("%w: there is no column %q for %s; the columns are %s (--map %s=COLUMN names another)",
				ErrMapping, name, field, join(columns), field)
		}
	}
	return found, nil
}

func join[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}
