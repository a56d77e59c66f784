package main

import (
	"fmt"
	"time"

	"github.com/alecthomas/kong"
)

// waitFlag says how long to wait for something: --wait without an end, which is the
// usual, --wait=DURATION so long, and --no-wait not at all.
type waitFlag struct {
	not   bool
	limit time.Duration // 0: without an end
}

// IsBool implements kong.BoolMapperValue: the flag needs no value.
func (*waitFlag) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (f *waitFlag) Decode(ctx *kong.DecodeContext) error {
	*f = waitFlag{}
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	token := ctx.Scan.Pop()
	if wait, ok := token.Value.(bool); ok { // of --no-wait
		f.not = !wait
		return nil
	}
	limit, err := time.ParseDuration(token.String())
	if err != nil || limit <= 0 {
		return fmt.Errorf("%q is not a time to wait, such as 30s or 10m; --no-wait doesn't wait", token)
	}
	f.limit = limit
	return nil
}
