package service

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// The log has a line when a part begins to fail, and one when it works again.
func TestReachability(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var failure error
	part := Checked{Name: "part", Check: func(context.Context) error { return failure }}
	registry := prometheus.NewRegistry()
	r := NewReachability([]Checked{part}, registry, zerolog.New(&log))
	broken := errors.New("broken")
	for _, step := range []struct {
		failure error
		up      float64
		says    string // "": nothing
	}{
		{nil, 1, ""}, {broken, 0, "fails its check"}, {broken, 0, ""}, {nil, 1, "passes its check again"}, {nil, 1, ""}, {broken, 0, "fails its check"},
	} {
		failure = step.failure
		r.check(t.Context(), part)
		families, err := registry.Gather() // in the order of their names
		if err != nil || len(families) != 2 {
			t.Fatalf("metrics: %v, %v", families, err)
		}
		if up := families[1].GetMetric()[0].GetGauge().GetValue(); up != step.up {
			t.Errorf("casgate_up is %g, error %v", up, failure)
		}
		if said := log.String(); (said != "") != (step.says != "") || !strings.Contains(said, step.says) {
			t.Errorf("after the error %v the log has %q; want %q", failure, said, step.says)
		}
		log.Reset()
	}
}
