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
		Bool("uncertain", func(c *row) *bool { return &c.Uncertain }),
		Int("attempts", func(c *row) *int { return &c.Attempts }),
		Int("losses", func(c *row) *int { return &c.Losses }),
		providerError("error", func(c *row) **providers.Error { return &c.Error }),
		Text("operation_id", func(c *row) *string { return &c.OperationID }),
		Time("created_at", func(c *row) *time.Time { return &c.CreatedAt }),
		NullTime("ready_at", func(c *row) *time.Time { return &c.ReadyAt }),
		NullTime("last_used_at", func(c *row) *time.Time { return &c.LastUsedAt }),
		NullTime("lost_at", func(c *row) *time.Time { return &c.LostAt }),
		NullTime("expires_at", func(c *row) *time.Time { return &c.ExpiresAt }),
		NullTime("next_attempt_at", func(c *row) *time.Time { return &c.NextAttemptAt }),
		NullTime("lease_until", func(c *row) *time.Time { return &c.LeaseUntil }),
	)
}

// providerError is a column of a provider's errors as JSON, in which null is nil. An
// error is not worth failing for, so characters that can't be stored are replaced.
func providerError[R any](name string, field func(*R) **providers.Error) Column[R] {
	return Column[R]{Name: name, Type: TypeJSON,
		Target: func(_ *Dialect, row *R) any { return errorJSON{field(row)} },
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

// errorJSON scans providerError.
type errorJSON struct{ into **providers.Error }

// Scan implements sql.Scanner.
func (j errorJSON) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*j.into = nil
		return nil
	case string:
		*j.into = new(providers.Error)
		return json.Unmarshal([]byte(src), *j.into)
	case []byte:
		*j.into = new(providers.Error)
		return json.Unmarshal(src, *j.into)
	}
	return fmt.Errorf("scan an error from %T", src)
}
