package request

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopping, stop := context.WithCancel(t.Context())
		waits := Waits{Usual: time.Minute, Stopping: stopping}
		request, hangUp := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(request, "PUT", "/", nil)
		ended := func(w context.Context) (time.Duration, error) {
			begun := time.Now()
			<-w.Done()
			return time.Since(begun), w.Err()
		}
		for prefer, want := range map[string]time.Duration{"": time.Minute, "wait=5": 5 * time.Second, "respond-async": time.Minute, "wait=0": time.Second} {
			r.Header.Set("Prefer", prefer)
			w := waits.ForResult(r)
			child, cancel := context.WithCancel(w)
			if took, err := ended(child); took != want || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(context.Cause(w), context.DeadlineExceeded) {
				t.Errorf("%q: ended after %v with %v", prefer, took, err)
			}
			cancel()
			w.End()
		}
		unused := waits.For(r, time.Hour)
		unused.End()

		client := waits.For(r, time.Hour)
		time.AfterFunc(time.Second, hangUp)
		if took, err := ended(client); took != time.Second || !errors.Is(err, context.Canceled) {
			t.Errorf("after the client left: %v, %v", took, err)
		}
		r = r.WithContext(t.Context())
		stopped := waits.For(r, time.Hour)
		time.AfterFunc(time.Second, stop)
		if took, err := ended(stopped); took != time.Second || !errors.Is(err, context.Canceled) || r.Context().Err() != nil {
			t.Errorf("when the gateway was stopped: %v, %v", took, err)
		}
		client.End()
		stopped.End()
	})
}
