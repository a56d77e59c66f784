package guard_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/providers"
	"casgate/providers/guard"
)

// values returns all metrics of a registry but histograms' buckets, as
// name{labels}.
func values(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := strings.TrimPrefix(family.GetName(), "casgate_provider_") + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.GetCounter() != nil:
				all[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				all[name] = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				all[name] = m.GetHistogram().GetSampleSum()
			}
		}
	}
	return all
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		observed := guard.ObserveOptions{Registry: registry}
		inner := able{fake: inOrder(nil, err503, nil, fail(providers.KindLost, 404, ""), errors.New("what?"), fail(providers.KindQuota, 429, ""))}
		g := guard.New(inner, guard.Options{Observe: observed})
		_ = call(t.Context(), g, providers.OpUpload)
		_ = call(t.Context(), g, providers.OpDelete) // the second attempt goes well
		_ = call(t.Context(), g, providers.OpDelete) // of a file that is lost
		_ = call(t.Context(), g, providers.OpDelete)
		_ = call(t.Context(), g, providers.OpUpload)
		r, err := g.Text(t.Context(), "f1")
		if err != nil {
			t.Fatal(err)
		}
		running := values(t, registry)["calls_in_flight{op=text,provider=fake}"]
		time.Sleep(3 * time.Second)
		r.Close()
		if running != 1 {
			t.Errorf("an open stream counts as %v calls in flight", running)
		}

		// Another account of the same provider, and another provider, whose breaker opens.
		guard.New(newFake(nil), guard.Options{Observe: observed})
		other := always(errUnknown)
		other.about.Provider = "other"
		down := guard.New(other, guard.Options{Observe: observed})
		for range 7 {
			_ = call(t.Context(), down, providers.OpList)
		}

		got := values(t, registry)
		for name := range got {
			if strings.HasPrefix(name, "call_seconds") && name != "call_seconds{op=text,provider=fake}" {
				delete(got, name)
			}
		}
		want := map[string]float64{
			"calls_total{op=upload,outcome=ok,provider=fake}":       1,
			"calls_total{op=delete,outcome=ok,provider=fake}":       1,
			"calls_total{op=upload,outcome=quota,provider=fake}":    1,
			"calls_total{op=delete,outcome=lost,provider=fake}":     1,
			"calls_total{op=delete,outcome=unknown,provider=fake}":  1,
			"calls_total{op=text,outcome=ok,provider=fake}":         1,
			"calls_total{op=list,outcome=unknown,provider=other}":   5,
			"calls_total{op=list,outcome=transient,provider=other}": 2,
			"call_seconds{op=text,provider=fake}":                   3,
			"calls_in_flight{op=upload,provider=fake}":              0,
			"calls_in_flight{op=delete,provider=fake}":              0,
			"calls_in_flight{op=text,provider=fake}":                0,
			"calls_in_flight{op=list,provider=other}":               0,
			"uploaded_bytes_total{provider=fake}":                   5,
			"retries_total{op=delete,provider=fake}":                1,
			"breakers{provider=fake,state=closed}":                  2,
			"breakers{provider=other,state=closed}":                 0,
			"breakers{provider=other,state=open}":                   1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

// line is a line of the log.
type line struct {
	Level, Op, Outcome, Purpose, File, Message, Provider string
	Size                                                 int64
	Error                                                *providers.Error
}

func lines(t *testing.T, log []byte) (all []line) {
	t.Helper()
	for scanner := bufio.NewScanner(bytes.NewReader(log)); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", scanner.Bytes(), err)
		}
		all = append(all, l)
	}
	return all
}

func TestLog(t *testing.T) {
	t.Parallel()
	const secret = "sk-secret"
	told := fail(providers.KindQuota, 429, "1113")
	told.Cause = errors.New("Authorization: Bearer " + secret)
	for _, test := range []struct {
		op   providers.Op
		err  error
		want line
	}{
		{providers.OpUpload, nil, line{Level: "info", Outcome: "ok", Purpose: "seen", File: "new", Size: 5}},
		{providers.OpDelete, nil, line{Level: "info", Outcome: "ok", File: "f1"}},
		{providers.OpList, nil, line{Level: "debug", Outcome: "ok", Purpose: "seen"}},
		{providers.OpRetrieve, nil, line{Level: "debug", Outcome: "ok", File: "f1"}},
		{providers.OpDownload, nil, line{Level: "debug", Outcome: "ok", File: "f1"}},
		{providers.OpUpload, told, line{Level: "warn", Outcome: "quota", Purpose: "seen", Size: 5, Error: fail(providers.KindQuota, 429, "1113")}},
		{providers.OpPoll, fmt.Errorf("wrapped: %w", told), line{Level: "warn", Outcome: "quota", File: "f1", Error: fail(providers.KindQuota, 429, "1113")}},
		{providers.OpDelete, errors.New("what?"), line{Level: "warn", Outcome: "unknown", File: "f1", Error: &providers.Error{Provider: "fake", Op: providers.OpDelete, Kind: providers.KindUnknown, Message: "what?"}}},
		{providers.OpDelete, fail(providers.KindTransient, 0, providers.CodeUnavailable), line{Level: "debug", Outcome: "transient", File: "f1", Error: fail(providers.KindTransient, 0, providers.CodeUnavailable)}},
	} {
		t.Run(fmt.Sprintf("%s %v", test.op, test.err), func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			p := guard.Observe(able{fake: always(test.err)}, guard.ObserveOptions{Log: zerolog.New(&log)})
			_ = call(t.Context(), p, test.op)
			test.want.Op, test.want.Provider, test.want.Message = string(test.op), "fake", "provider call"
			if diff := cmp.Diff([]line{test.want}, lines(t, log.Bytes())); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			if strings.Contains(log.String(), secret) || strings.Contains(log.String(), "hello") {
				t.Errorf("the log contains a secret: %s", &log)
			}
		})
	}
}

// The breaker's opening is news; the calls it refuses are not.
func TestLogOfTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		inner := inOrder(errUnknown, errUnknown)
		g := guard.New(inner, guard.Options{
			Break:   guard.BreakOptions{Faults: 2},
			Observe: guard.ObserveOptions{Log: zerolog.New(&log).Level(zerolog.InfoLevel)},
		})
		for range 10 {
			_ = call(t.Context(), g, providers.OpUpload)
		}
		time.Sleep(10 * time.Second)
		_ = call(t.Context(), g, providers.OpUpload)
		var got []string
		for _, l := range lines(t, log.Bytes()) {
			got = append(got, l.Level+": "+l.Message)
		}
		want := []string{
			"warn: provider call",
			"warn: the provider fails; calls to it stop for a while",
			"warn: provider call",
			"info: the provider works again",
			"info: provider call",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the log is %q, want %q", got, want)
		}
	})
}

// The observation of a stream ends when the stream is closed, and depends on how the
// reading ended.
func TestObservedStream(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := guard.Observe(able{fake: newFake(nil), broken: fail(providers.KindUnknown, 0, providers.CodeConnection)}, guard.ObserveOptions{Log: zerolog.New(&log)})
	r, err := p.Text(context.Background(), "f1")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r)
	if log.Len() > 0 {
		t.Errorf("logged before its end: %s", &log)
	}
	r.Close()
	if got := lines(t, log.Bytes()); len(got) != 1 || got[0].Outcome != "unknown" || got[0].Level != "warn" {
		t.Errorf("logged %+v", got)
	}
}
