package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/providers"
)

func TestCopiesAreWrittenAsEncodingJSONWould(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{`a"b\c`, "<&>", "\u2028", "\xff", "文件", "\x7f"}))
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		micros := rapid.Int64Range(1, 4e15).Draw(t, "micros")
		return time.UnixMicro(micros).In(time.FixedZone("somewhere", rapid.IntRange(-43200, 43200).Draw(t, "zone")))
	})
	rapid.Check(t, func(t *rapid.T) {
		c := providers.Copy{
			Key: providers.Key{
				Digest: cas.DigestOf([]byte(text.Draw(t, "blob"))), Provider: text.Draw(t, "provider"),
				Account: rapid.OneOf(text, rapid.Just("simulated-x")).Draw(t, "account"), Purpose: text.Draw(t, "purpose"), Extension: text.Draw(t, "extension"),
			},
			State: providers.StateReady, FileID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Size: rapid.Int64Min(0).Draw(t, "size"),
			Attempts: rapid.IntMin(0).Draw(t, "attempts"), OperationID: text.Draw(t, "operation"),
			CreatedAt: moment.Draw(t, "created"), ReadyAt: moment.Draw(t, "ready"), LastUsedAt: moment.Draw(t, "used"),
			ExpiresAt: moment.Draw(t, "expires"), NextAttemptAt: moment.Draw(t, "next"),
		}
		created := rapid.Bool().Draw(t, "made")
		answer := apiCopy(c)
		answer.Created = &created
		var want bytes.Buffer
		if err := json.NewEncoder(&want).Encode(answer); err != nil {
			t.Fatal(err)
		}
		if got := appendCopy(nil, &c, created); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("got  %s\nwant %s", got, want.Bytes())
		}
	})
}

func TestWaitsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &Gateway{o: Options{CopyWait: time.Minute}}
		g.stopping, g.stop = context.WithCancel(t.Context())
		request, hangUp := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(request, "PUT", "/", nil)
		ended := func(w context.Context) (time.Duration, error) {
			begun := time.Now()
			<-w.Done()
			return time.Since(begun), w.Err()
		}
		for prefer, want := range map[string]time.Duration{"": time.Minute, "wait=5": 5 * time.Second, "respond-async": time.Minute, "wait=0": time.Second} {
			r.Header.Set("Prefer", prefer)
			w := g.waitingLong(r)
			child, cancel := context.WithCancel(w)
			if took, err := ended(child); took != want || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(context.Cause(w), context.DeadlineExceeded) {
				t.Errorf("%q: ended after %v with %v", prefer, took, err)
			}
			cancel()
			w.end()
		}
		unused := g.waiting(r, time.Hour)
		unused.end()

		client := g.waiting(r, time.Hour)
		time.AfterFunc(time.Second, hangUp)
		if took, err := ended(client); took != time.Second || !errors.Is(err, context.Canceled) {
			t.Errorf("after the client left: %v, %v", took, err)
		}
		r = r.WithContext(t.Context())
		stopped := g.waiting(r, time.Hour)
		time.AfterFunc(time.Second, g.stop)
		if took, err := ended(stopped); took != time.Second || !errors.Is(err, context.Canceled) || r.Context().Err() != nil {
			t.Errorf("when the gateway was stopped: %v, %v", took, err)
		}
		client.end()
		stopped.end()
	})
}
