package migrations

import (
	"errors"
	"fmt"
)

// ErrSchema is what every *SchemaError is, by errors.Is.
var ErrSchema = errors.New("the database's schema is not the one this program needs")

// SchemaError says that a database is at another version than the program. Its
// text tells the operator what to do.
type SchemaError struct {
	Have int64 // the database's version; 0 where nothing was ever applied
	Want int64 // the program's
}

// Error implements error.
func (e *SchemaError) Error() string {
	if e.Have > e.Want {
		return fmt.Sprintf("this database was migrated by a newer casgate (to version %d; this program knows %d); upgrade the program", e.Have, e.Want)
	}
	return fmt.Sprintf("database is at version %d, this program needs %d; run `cas migrate up`", e.Have, e.Want)
}

// Is makes errors.Is(err, ErrSchema) hold.
func (e *SchemaError) Is(target error) bool { return target == ErrSchema }

// Check returns nil for a database at exactly the set's latest version, and a
// *SchemaError for any other.
func (s Set) Check(have int64) error {
	if want := s.Latest(); have != want {
		return &SchemaError{Have: have, Want: want}
	}
	return nil
}
