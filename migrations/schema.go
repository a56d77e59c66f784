package migrations

import (
	"errors"
	"fmt"
)

// ErrSchema matches every *SchemaError in errors.Is.
var ErrSchema = errors.New("the database's schema is not the one this program needs")

// SchemaError is the error if a database has another version than the program needs.
// Its text says what the operator must do.
type SchemaError struct {
	Have int64 // the database's version; 0: no migration was applied
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

// Check returns nil if a database has exactly the set's latest version, and a
// *SchemaError otherwise.
func (s Set) Check(have int64) error {
	if want := s.Latest(); have != want {
		return &SchemaError{Have: have, Want: want}
	}
	return nil
}
