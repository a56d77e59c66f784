// Package duration reads durations that may have days.
package duration

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// days matches the days at the beginning of a duration.
var days = regexp.MustCompile(`^(\d+)d(.*)$`)

// Parse is time.ParseDuration, where days may come first, as in 7d and 1d12h. A day
// has 24 hours.
func Parse(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	found := days.FindStringSubmatch(text)
	if found == nil {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil || n > int64(100*365) {
		return 0, fmt.Errorf("%s days are more than a duration may have", found[1])
	}
	whole := time.Duration(n) * day
	if found[2] == "" {
		return whole, nil
	}
	rest, err := time.ParseDuration(found[2])
	if err != nil || rest < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 7d, 1d12h or 90m", text)
	}
	return whole + rest, nil
}

// Mapper reads the durations of flags and environment variables.
func Mapper() kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
			return err
		}
		if text == "0" {
			target.SetInt(0)
			return nil
		}
		d, err := Parse(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 30s, 15m, 24h or 7d", text)
		}
		target.SetInt(int64(d))
		return nil
	}
}
