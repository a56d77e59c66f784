package settings

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// switchWords are the words that turn a setting on or off, whichever the setting shows.
var switchWords = map[string]bool{"on": true, "true": true, "yes": true, "1": true, "off": false, "false": false, "no": false, "0": false}

// Switch is "on" or "off".
type Switch string

// UnmarshalText implements encoding.TextUnmarshaler. Other words stay as they are: the list
// of the field's values refuses them.
func (s *Switch) UnmarshalText(text []byte) error {
	*s = Switch(text)
	if on, ok := switchWords[strings.ToLower(string(text))]; ok {
		*s = map[bool]Switch{true: "on", false: "off"}[on]
	}
	return nil
}

// BoolMapper reads the values of bool flags, and of their environment variables.
type BoolMapper struct{}

// IsBool implements kong.BoolMapper: the flag alone means true.
func (BoolMapper) IsBool() bool { return true }

// Decode implements kong.Mapper.
func (BoolMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		target.SetBool(true)
		return nil
	}
	switch v := ctx.Scan.Pop().Value.(type) {
	case bool:
		target.SetBool(v)
	case string:
		on, ok := switchWords[strings.ToLower(v)]
		if !ok {
			return fmt.Errorf("it must be true or false (on, off, yes, no, 1 and 0 mean the same), and is %q", v)
		}
		target.SetBool(on)
	default:
		return fmt.Errorf("it must be true or false, and is %v", v)
	}
	return nil
}
