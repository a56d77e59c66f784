package respond

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/gateway/request"
)

func TestMarshalHidesFieldsWithoutATag(t *testing.T) {
	type inner struct {
		ID   string `json:"id" see:"any"`
		Name string `json:"name"`
	}
	type answer struct {
		inner
		List   []inner         `json:"list" see:"any"`
		At     *time.Time      `json:"at" see:"any"`
		Value  json.RawMessage `json:"value" see:"any"`
		Number int64           `json:"number" see:"any"`
		Hidden []inner         `json:"hidden"`
		Lists  [][]*inner      `json:"lists" see:"any"`
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	v := answer{
		inner: inner{"a", "secret"}, List: []inner{{"b", "secret"}}, At: &at, Value: json.RawMessage(`{"name":"<kept>"}`), Number: 1<<62 + 1,
		Hidden: []inner{{"c", "secret"}}, Lists: [][]*inner{{{"d", "secret"}, nil}},
	}
	for _, tt := range []struct {
		mayRead bool
		want    string
	}{
		{false, `{"at":"2026-01-02T03:04:05.000000006Z","id":"a","list":[{"id":"b"}],"lists":[[{"id":"d"},null]],"number":4611686018427387905,"value":{"name":"<kept>"}}` + "\n"},
		{true, `{"id":"a","name":"secret","list":[{"id":"b","name":"secret"}],"at":"2026-01-02T03:04:05.000000006Z","value":{"name":"<kept>"},"number":4611686018427387905,"hidden":[{"id":"c","name":"secret"}],"lists":[[{"id":"d","name":"secret"},null]]}` + "\n"},
	} {
		c := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder())
		state := request.NewState(c.Response().Writer, "id")
		state.MayRead = tt.mayRead
		c.Response().Writer = state
		got, err := Marshal(c, v)
		if err != nil || string(got) != tt.want {
			t.Errorf("may read %t: %s, %v", tt.mayRead, got, err)
		}
	}
}
