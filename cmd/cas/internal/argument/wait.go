package argument

import (
	"context"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"casgate/cmd/cas/internal/duration"
)

// Wait is a flag that says how long to wait: --wait without a limit, which is the
// default, --wait=DURATION with a limit, and --no-wait not at all.
type Wait struct {
	Given bool // the flag was given
	Not   bool
	Limit time.Duration // 0: no limit
}

// IsBool implements kong.BoolMapperValue: the flag needs no value.
func (*Wait) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (w *Wait) Decode(ctx *kong.DecodeContext) error {
	*w = Wait{Given: true}
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	token := ctx.Scan.Pop()
	if wait, ok := token.Value.(bool); ok { // of --no-wait
		w.Not = !wait
		return nil
	}
	limit, err := duration.Parse(token.String())
	if err != nil || limit <= 0 {
		return fmt.Errorf("%q is not a time to wait, such as 30s or 10m; --no-wait doesn't wait", token)
	}
	w.Limit = limit
	return nil
}

// Context returns a context that ends at the limit.
func (w Wait) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.Limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, w.Limit)
}
