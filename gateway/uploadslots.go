package gateway

import (
	"github.com/labstack/echo/v4"

	"casgate/gateway/problem"
)

// uploadSlots has a slot for each upload that may be under way.
type uploadSlots chan struct{}

var errNoUploadSlot = problem.New(problem.Overloaded, "as many uploads as allowed are under way; try again shortly")

// limit answers 503 at once, before the body is read, if all slots are used.
func (s uploadSlots) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		select {
		case s <- struct{}{}:
		default:
			return errNoUploadSlot
		}
		defer func() { <-s }()
		return next(c)
	}
}

// used returns the number of uploads under way.
func (s uploadSlots) used() int { return len(s) }
