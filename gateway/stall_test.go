package gateway_test

import (
	"bytes"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/gateway/problem"
)

// A store that stops answering, with its connections open, makes requests fail in the
// time that the settings give it, and not when the client gives up.
func TestStoreThatStops(t *testing.T) {
	t.Parallel()
	// A store that works must not look as if it had stopped, on a busy machine.
	timeout := time.Duration(castest.Thorough(4000, 500)) * time.Millisecond
	o, way := s3test.NewStalling(t, s3test.NewBucket(t))
	o.Timeout = timeout
	objects, err := s3store.New(o)
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, objects.Close)
	p := embedded(t, t.TempDir())
	p.objects = objects
	s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.HotBlobSize = -1 })
	content := castest.RandomBytes(16 << 20)
	large := cas.DigestOf(content)
	castest.Eventually(t, "an upload in time", func() bool {
		return s.do("PUT", s.path(large), bytes.NewReader(content)).StatusCode == 201
	})

	way.StopAfter(1 << 20)
	begin := time.Now()
	if a, err := s.try("GET", s.path(large), nil); err == nil {
		t.Errorf("a download from a store that stopped ended with %d and %d bytes", a.StatusCode, len(a.body))
	}
	way.Stop()
	s.do("GET", s.path(large), nil).wantProblem(t, 503, problem.StoreUnavailable)
	b := castest.RandomBytes(2 << 20)
	s.do("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b)).wantProblem(t, 503, problem.StoreUnavailable)
	if took, limit := time.Since(begin), 3*(timeout+15*time.Second); took > limit {
		t.Errorf("three requests took %v", took)
	}
	way.Go()
	castest.Eventually(t, "an answer once the store goes on", func() bool {
		return s.do("GET", s.path(large), nil, "Range", "bytes=0-0").StatusCode == 206
	})
}
