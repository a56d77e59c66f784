package sqlrow

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// CopyKey lists the columns of the primary key of copies. They are the first columns
// of Copies, in this order.
var CopyKey = []string{"digest", "provider", "account", "purpose", "extension"}

// Copies is the table copies.
func Copies(d *Dialect) Table[ledger.Copy] {
	type row = ledger.Copy
	return New(d,
		Digest("digest", func(c *row) *cas.Digest { return &c.Digest }),
		Text("provider", func(c *row) *string { return &c.Provider }),
		Text("account", func(c *row) *string { return &c.Account }),
		Text("purpose", func(c *row) *string { return &c.Purpose }),
		Text("extension", func(c *row) *string { return &c.Extension }),
		Text("state", func(c *row) *ledger.State { return &c.State }),
		Int("fence", func(c *row) *int64 { return &c.Fence }),
		Text("file_id", func(c *row) *string { return &c.FileID }),
		Text("remote_name", func(c *row) *string { return &c.RemoteName }),
		Text("name", func(c *row) *string { return &c.Name }),
		Text("media_type", func(c *row) *string { return &c.MediaType }),
		Int("size", func(c *row) *int64 { return &c.Size }),
		jsonList("strays", func(c *row) *[]ledger.Stray { return &c.Strays }),
		Bool("evicting", func(c *row) *bool { return &c.Evicting }),
		Int("attempts", func(c *row) *int { return &c.Attempts }),
		Int("losses", func(c *row) *int { return &c.Losses }),
		providerError("error", func(c *row) **providers.Error { return &c.Error }),
		Text("operation_id", func(c *row) *string { return &c.OperationID }),
		jsonList("later_deletes", func(c *row) *[]string { return &c.LaterDeletes }),
		Time("created_at", func(c *row) *time.Time { return &c.CreatedAt }),
		NullTime("uploaded_at", func(c *row) *time.Time { return &c.UploadedAt }),
		NullTime("ready_at", func(c *row) *time.Time { return &c.ReadyAt }),
		NullTime("last_used_at", func(c *row) *time.Time { return &c.LastUsedAt }),
		NullTime("lost_at", func(c *row) *time.Time { return &c.LostAt }),
		NullTime("expires_at", func(c *row) *time.Time { return &c.ExpiresAt }),
		NullTime("next_attempt_at", func(c *row) *time.Time { return &c.NextAttemptAt }),
		NullTime("lease_until", func(c *row) *time.Time { return &c.LeaseUntil }),
		NullTime("look_at", func(c *row) *time.Time { return &c.LookAt }),
	)
}

// providerError is a column of a provider's errors as JSON, in which null is nil. An
// error is not worth failing for, so characters that can't be stored are replaced.
func providerError[R any](name string, field func(*R) **providers.Error) Column[R] {
	return Column[R]{Name: name, Type: TypeJSON,
		Target: func(_ *Dialect, row *R) any {
			return nullJSON{func() { *field(row) = nil }, func(text []byte) error {
				*field(row) = new(providers.Error)
				return json.Unmarshal(text, *field(row))
			}}
		},
		Value: func(_ *Dialect, row *R) any {
			e := *field(row)
			if e == nil {
				return nil
			}
			return encodeError(*e)
		}}
}

func encodeError(e providers.Error) string {
	e.Provider, e.Op, e.Kind = storable(e.Provider), storable(e.Op), storable(e.Kind)
	e.Code, e.Message, e.Hint = storable(e.Code), storable(e.Message), storable(e.Hint)
	text, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("sqlrow: encode an error: %v", err)) // its fields can always be encoded
	}
	return string(text)
}

// storable is cas.StorableText without a limit.
func storable[T ~string](text T) T { return cas.StorableText(text, math.MaxInt) }

// jsonList is a column of a list as JSON, in which null is an empty list. Its elements can
// always be encoded: they are texts, or strays, whose times are the database's.
func jsonList[R, E any](name string, field func(*R) *[]E) Column[R] {
	return Column[R]{Name: name, Type: TypeJSON,
		Target: func(_ *Dialect, row *R) any {
			return nullJSON{func() { *field(row) = nil }, func(text []byte) error { return json.Unmarshal(text, field(row)) }}
		},
		Value: func(_ *Dialect, row *R) any {
			if len(*field(row)) == 0 {
				return nil
			}
			text, err := json.Marshal(*field(row))
			if err != nil {
				panic(fmt.Sprintf("sqlrow: encode %s: %v", name, err))
			}
			return string(text)
		}}
}

// nullJSON scans JSON, or null.
type nullJSON struct {
	null func()
	read func(text []byte) error
}

// Scan implements sql.Scanner.
func (j nullJSON) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		j.null()
		return nil
	case string:
		return j.read([]byte(src))
	case []byte:
		return j.read(src)
	}
	return fmt.Errorf("scan JSON from %T", src)
}
