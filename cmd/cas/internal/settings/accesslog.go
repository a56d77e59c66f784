package settings

import (
	"fmt"
	"strings"
)

// AccessLog is the share of the requests that are logged, from 0 to 1: on, off, or a share
// such as 1%.
type AccessLog float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *AccessLog) UnmarshalText(text []byte) error {
	if on, ok := switchWords[strings.ToLower(string(text))]; ok {
		*a = map[bool]AccessLog{true: 1, false: 0}[on]
		return nil
	}
	var share Percent
	if err := share.UnmarshalText(text); err != nil {
		return fmt.Errorf("%q is neither on nor off nor a share such as 1%%", text)
	}
	*a = AccessLog(share)
	return nil
}
