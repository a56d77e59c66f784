package argument

import (
	"fmt"
	"time"

	"casgate/cmd/cas/internal/duration"
)

// Moment is a point in time, given as a time or as a duration before now.
type Moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Moment) UnmarshalText(text []byte) error {
	if ago, err := duration.Parse(string(text)); err == nil && ago >= 0 {
		m.Time = time.Now().Add(-ago)
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is neither a time such as 2026-11-21T20:00:00Z nor how long ago, such as 2h or 7d", text)
	}
	m.Time = at
	return nil
}
