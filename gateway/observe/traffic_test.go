package observe

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var traffic Traffic
		want := func(when string, want time.Time) {
			t.Helper()
			if got := traffic.Last(); !got.Equal(want) {
				t.Errorf("%s: the last request was at %v, not %v", when, got, want)
			}
		}
		want("before the first request", time.Unix(0, 0))
		traffic.begin()
		traffic.begin()
		time.Sleep(time.Minute)
		want("during two requests", time.Now())
		traffic.end(time.Now())
		time.Sleep(time.Minute)
		want("during one request", time.Now())
		ended := time.Now()
		traffic.end(ended)
		time.Sleep(time.Minute)
		want("after both", ended)
	})
}
