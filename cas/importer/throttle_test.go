package importer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/cas/importer"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 4 << 20
		s := memorySource{"k": bytes.Repeat([]byte("x"), size)}
		slow := importer.Throttle([]cas.Source{s}, 1<<20)[0]
		start := time.Now()
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				o, err := slow.Open(t.Context(), "k")
				if err != nil {
					t.Error(err)
					return
				}
				if n, err := io.Copy(io.Discard, o.Body); n != size || err != nil || o.Body.Close() != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
		readers.Wait()
		if took := time.Since(start); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("8 MiB at 1 MiB a second took %v", took)
		}
	})
}

func TestThrottleEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := memorySource{"k": make([]byte, 4<<20)}
	ctx, cancel := context.WithCancel(t.Context())
	o, err := importer.Throttle([]cas.Source{s}, 1)[0].Open(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, o.Body); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
