package settings

import (
	"fmt"
	"strconv"
	"strings"
)

// Percent is a share, such as 5% or 0.5%, as a number from 0 to 1.
type Percent float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Percent) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil || !(n > 0 && n <= 100) {
		return fmt.Errorf("%q is not a share such as 5%% or 0.5%%, above 0 and up to 100", text)
	}
	*p = Percent(n / 100)
	return nil
}
