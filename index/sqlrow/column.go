package sqlrow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"casgate/cas"
)

// Text is a column of text.
func Text[R any, T ~string](name string, field func(*R) *T) Column[R] {
	return Column[R]{Name: name, Type: TypeText,
		Target: func(_ *Dialect, row *R) any { return field(row) },
		Value:  func(_ *Dialect, row *R) any { return string(*field(row)) }}
}

// Int is a column of integers.
func Int[R any, T ~int | ~int32 | ~int64](name string, field func(*R) *T) Column[R] {
	return Column[R]{Name: name, Type: TypeInt,
		Target: func(_ *Dialect, row *R) any { return field(row) },
		Value:  func(_ *Dialect, row *R) any { return int64(*field(row)) }}
}

// Bool is a column of booleans.
func Bool[R any](name string, field func(*R) *bool) Column[R] {
	return Column[R]{Name: name, Type: TypeBool,
		Target: func(_ *Dialect, row *R) any { return field(row) },
		Value:  func(_ *Dialect, row *R) any { return *field(row) }}
}

// Bytes is a column of bytes.
func Bytes[R any](name string, field func(*R) *[]byte) Column[R] {
	return Column[R]{Name: name, Type: TypeBytes,
		Target: func(_ *Dialect, row *R) any { return field(row) },
		Value:  func(_ *Dialect, row *R) any { return *field(row) }}
}

// Hash is a column of 32 bytes.
func Hash[R any](name string, field func(*R) *[32]byte) Column[R] {
	return Column[R]{Name: name, Type: TypeBytes,
		Target: func(_ *Dialect, row *R) any { return (*hash)(field(row)) },
		Value:  func(_ *Dialect, row *R) any { return field(row)[:] }}
}

// Digest is a column of digests.
func Digest[R any](name string, field func(*R) *cas.Digest) Column[R] {
	return Column[R]{Name: name, Type: TypeBytes,
		Target: func(_ *Dialect, row *R) any { return field(row) },
		Value:  func(_ *Dialect, row *R) any { return field(row)[:] }}
}

// NullDigest is a column of digests, in which null is the zero digest.
func NullDigest[R any](name string, field func(*R) *cas.Digest) Column[R] {
	return Column[R]{Name: name, Type: TypeBytes,
		Target: func(_ *Dialect, row *R) any { return (*nullDigest)(field(row)) },
		Value: func(_ *Dialect, row *R) any {
			if field(row).IsZero() {
				return nil
			}
			return field(row)[:]
		}}
}

// Time is a column of times. They are read in UTC.
func Time[R any](name string, field func(*R) *time.Time) Column[R] {
	return Column[R]{Name: name, Type: TypeTime,
		Target: func(_ *Dialect, row *R) any { return (*nullTime)(field(row)) },
		Value:  func(d *Dialect, row *R) any { return d.Time(*field(row)) }}
}

// NullTime is a column of times, in which null is the zero time.
func NullTime[R any](name string, field func(*R) *time.Time) Column[R] {
	return Column[R]{Name: name, Type: TypeTime,
		Target: func(_ *Dialect, row *R) any { return (*nullTime)(field(row)) },
		Value:  func(d *Dialect, row *R) any { return d.NullTime(*field(row)) }}
}

// JSONObject is a column of JSON objects, in which {} stands for an empty field.
func JSONObject[R any](name string, field func(*R) *json.RawMessage) Column[R] {
	return Column[R]{Name: name, Type: TypeJSON,
		Target: func(_ *Dialect, row *R) any { return (*jsonText)(field(row)) },
		Value: func(_ *Dialect, row *R) any {
			if len(*field(row)) == 0 {
				return "{}"
			}
			return string(*field(row))
		}}
}

// TextArray is a column of lists of texts. An empty list is read as nil.
func TextArray[R any, T ~string](name string, field func(*R) *[]T) Column[R] {
	return Column[R]{Name: name, Type: TypeTextArray,
		Target: func(d *Dialect, row *R) any {
			if d.typed {
				return field(row) // its driver reads arrays
			}
			return (*textArray[T])(field(row))
		},
		Scanned: func(row *R) {
			if len(*field(row)) == 0 {
				*field(row) = nil
			}
		},
		Value: func(d *Dialect, row *R) any {
			list := make([]string, len(*field(row)))
			for i, text := range *field(row) {
				list[i] = string(text)
			}
			if d.typed {
				return list
			}
			text, err := json.Marshal(list)
			if err != nil {
				panic(fmt.Sprintf("sqlrow: encode texts: %v", err)) // texts can always be encoded
			}
			return string(text)
		}}
}

// hash scans bytes of exactly its length.
type hash [32]byte

// Scan implements sql.Scanner.
func (h *hash) Scan(src any) error {
	stored, ok := src.([]byte)
	if !ok || copy(h[:], stored) != len(h) || len(stored) != len(h) {
		return fmt.Errorf("hash of %d bytes; want %d", len(stored), len(h))
	}
	return nil
}

// nullDigest scans null as the zero digest.
type nullDigest cas.Digest

// Scan implements sql.Scanner.
func (d *nullDigest) Scan(src any) error {
	if src == nil {
		*d = nullDigest{}
		return nil
	}
	return (*cas.Digest)(d).Scan(src)
}

// nullTime scans a time of either database, and null as the zero time.
type nullTime time.Time

// Scan implements sql.Scanner.
func (t *nullTime) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*t = nullTime{}
	case time.Time:
		*t = nullTime(src.UTC())
	case int64:
		*t = nullTime(time.UnixMicro(src).UTC())
	default:
		return fmt.Errorf("scan a time from %T", src)
	}
	return nil
}

// jsonText scans text as JSON.
type jsonText json.RawMessage

// Scan implements sql.Scanner.
func (j *jsonText) Scan(src any) error {
	switch src := src.(type) {
	case string:
		*j = jsonText(src)
	case []byte:
		*j = bytes.Clone(src)
	default:
		return fmt.Errorf("scan JSON from %T", src)
	}
	return nil
}

// textArray scans a JSON array of texts.
type textArray[T ~string] []T

// Scan implements sql.Scanner.
func (a *textArray[T]) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("scan a list of texts from %T", src)
	}
	return json.Unmarshal([]byte(text), (*[]T)(a))
}
