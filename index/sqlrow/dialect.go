package sqlrow

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// Type is a column's type, by its name in Postgres.
type Type string

// The types.
const (
	TypeText      Type = "text"
	TypeTextArray Type = "text[]" // SQLite: text, a JSON array
	TypeInt       Type = "bigint"
	TypeBool      Type = "boolean"     // SQLite: 0 or 1
	TypeBytes     Type = "bytea"       // SQLite: blob
	TypeTime      Type = "timestamptz" // SQLite: microseconds since 1970
	TypeJSON      Type = "jsonb"       // SQLite: text
)

// Dialect is how a database writes statements and stores types.
type Dialect struct {
	sign  string // begins a placeholder
	typed bool   // placeholders give their types, and arrays and times are types
	// journalActor, journalDigest and journalFile compare the part of a journal's column
	// that is indexed with that part of an argument.
	journalActor, journalDigest, journalFile string
}

// The dialects.
var (
	Postgres = &Dialect{
		sign: "$", typed: true,
		journalActor:  `substring(decode(md5(actor), 'hex') from 1 for 4) = substring(decode(md5(?::text), 'hex') from 1 for 4)`,
		journalDigest: `substring(digest from 1 for 4) = substring(?::bytea from 1 for 4)`,
		journalFile:   `substring(decode(md5(file_id), 'hex') from 1 for 4) = substring(decode(md5(?::text), 'hex') from 1 for 4)`,
	}
	SQLite = &Dialect{
		sign:          "?",
		journalActor:  `substr(actor, 7, 4) = substr(?, 7, 4)`,
		journalDigest: `substr(digest, 1, 4) = substr(?, 1, 4)`,
		journalFile:   `substr(file_id, 6, 6) = substr(?, 6, 6)`,
	}
)

// Placeholder returns the placeholder of the argument with this number, from 1.
func (d *Dialect) Placeholder(n int) string { return d.sign + strconv.Itoa(n) }

// typedPlaceholder is Placeholder with the argument's type, where the database
// can't always tell that from the statement.
func (d *Dialect) typedPlaceholder(n int, t Type) string {
	if d.typed {
		return d.Placeholder(n) + "::" + string(t)
	}
	return d.Placeholder(n)
}

// selected returns the expression by which a column is read.
func (d *Dialect) selected(name string, t Type) string {
	if d.typed && t == TypeJSON {
		return name + "::text"
	}
	return name
}

// Time returns a time as an argument.
func (d *Dialect) Time(t time.Time) any {
	if d.typed {
		return t.UTC()
	}
	return t.UnixMicro()
}

// NullTime is Time, with null for the zero time.
func (d *Dialect) NullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return d.Time(t)
}

// typedSlice makes a slice of the type that Postgres's driver knows, out of values
// of a column.
func typedSlice(t Type, values []any) any {
	switch t {
	case TypeText, TypeJSON:
		return sliceOf[string](values)
	case TypeInt:
		return sliceOf[int64](values)
	case TypeBool:
		return sliceOf[bool](values)
	case TypeTime:
		return sliceOf[time.Time](values)
	case TypeBytes:
		list := make([][]byte, len(values))
		for i, value := range values {
			list[i], _ = value.([]byte) // null is nil
		}
		return list
	}
	panic("sqlrow: no arrays of " + string(t))
}

// sliceOf makes a slice of pointers, of which null is nil.
func sliceOf[T any](values []any) []*T {
	list := make([]*T, len(values))
	for i, value := range values {
		if value, ok := value.(T); ok {
			list[i] = &value
		}
	}
	return list
}

// jsonValue returns an argument as Postgres reads it out of JSON.
func jsonValue(t Type, value any) any {
	switch value := value.(type) {
	case []byte:
		return `\x` + hex.EncodeToString(value)
	case string:
		if t == TypeJSON {
			return json.RawMessage(value)
		}
	}
	return value
}
