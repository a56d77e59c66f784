package observe

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/gateway/request"
)

// An upload that met a delete is no fault of the gateway.
func TestLevels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		failure error
		status  int
		want    string
	}{
		{nil, 200, "info"},
		{errors.New("broken"), 500, "error"},
		{cas.ErrStoreUnavailable, 503, "error"},
		{fmt.Errorf("%w: it was deleted", cas.ErrUploadRaced), 503, "warn"},
	} {
		var levels []string
		o := &Observer{LogShare: 1, Log: zerolog.New(nil).Hook(zerolog.HookFunc(func(_ *zerolog.Event, level zerolog.Level, _ string) {
			levels = append(levels, level.String())
		}))}
		c := echo.New().NewContext(httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/blobs/x", nil), httptest.NewRecorder())
		state := request.NewState(c.Response().Writer, "op")
		state.Failure = tt.failure
		c.Response().Writer = state
		c.Response().WriteHeader(tt.status)
		o.logEvent(c, false).Msg("request")
		if len(levels) != 1 || levels[0] != tt.want {
			t.Errorf("%d, %v: the levels are %q; want %s", tt.status, tt.failure, levels, tt.want)
		}
	}
}
