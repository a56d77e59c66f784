package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"casgate/cas"
)

func TestContentIsTheSameHoweverItIsRead(t *testing.T) {
	for _, size := range []int64{tailSize, tailSize + 1, small, chunkSize, chunkSize + 7, chunkSize + tailSize, 3*chunkSize + 100} {
		c := numberedContent(size, 7)
		whole := c.bytes()
		if int64(len(whole)) != size {
			t.Fatalf("%d bytes, want %d", len(whole), size)
		}
		if c.digest() != cas.DigestOf(whole) {
			t.Errorf("size %d: the digest is not that of the bytes", size)
		}
		if read, err := io.ReadAll(c.reader()); err != nil || !bytes.Equal(read, whole) {
			t.Errorf("size %d: the reader brought other bytes: %v", size, err)
		}
		if !c.matches(0, whole) || !c.matches(size-5, whole[size-5:]) {
			t.Errorf("size %d: right bytes don't match", size)
		}
		whole[size-1]++
		if c.matches(0, whole) || c.matches(size-1, []byte{c.tail[tailSize-1], 0}) {
			t.Errorf("size %d: wrong bytes match", size)
		}
		if numberedContent(size, 7).digest() != c.digest() || numberedContent(size, 8).digest() == c.digest() {
			t.Errorf("size %d: the number doesn't decide", size)
		}
	}
	if err := iotest.TestReader(numberedContent(100, 1).reader(), numberedContent(100, 1).bytes()); err != nil {
		t.Error(err)
	}
}

// serve answers GET with a content, and PUT by whether the content came.
func serve(t *testing.T, c *content) (address string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.ServeContent(w, r, "", time.Time{}, c.reader())
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != c.size || !c.matches(0, body) {
			http.Error(w, "other bytes came", http.StatusUnprocessableEntity)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func mustDial(t *testing.T, address string) *client {
	t.Helper()
	c, err := dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestClient(t *testing.T) {
	for _, size := range []int64{small, headBuffer, medium, 3*chunkSize + 9} {
		right, wrong := numberedContent(size, 1), numberedContent(size, 2)
		address := serve(t, right)
		c := mustDial(t, address)
		read := func(want *content) call { return call{request: get(address, "/"), status: 200, answer: want} }
		put := func(body *content) call {
			return call{request: render("PUT", address, "/", "Content-Length: "+strconv.FormatInt(size, 10)), body: body, status: 200}
		}
		for range 3 { // over the same connection
			for _, call := range []call{read(right), put(right)} {
				if err := c.do(call, true); err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
			}
		}
		if err := c.do(read(wrong), false); err != nil {
			t.Errorf("without comparing: %v", err)
		}
		if err := c.do(read(wrong), true); !errors.Is(err, errWrongBytes) {
			t.Errorf("wrong bytes of %d: %v", size, err)
		}
		if err := mustDial(t, address).do(read(numberedContent(size+1, 1)), false); err == nil {
			t.Error("an answer of another length was taken")
		}
		if err := mustDial(t, address).do(put(wrong), false); err == nil || !strings.Contains(err.Error(), "other bytes came") {
			t.Errorf("a wrong status: %v", err)
		}
	}
}

// An answer in chunks is taken where any would do, and leaves the connection fit for
// the next.
func TestClientTakesChunks(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			_, _ = w.Write(make([]byte, headBuffer))
			w.(http.Flusher).Flush()
		}
	}))
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	c := mustDial(t, address)
	for range 3 {
		if err := c.do(call{request: get(address, "/"), status: 200}, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.do(call{request: get(address, "/"), status: 200, answer: numberedContent(5*headBuffer, 1)}, false); err == nil {
		t.Error("chunks were taken for known bytes")
	}
}

func TestClientRefusesOddAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":            "hello\r\n\r\n",
		"no status":          "HTTP/1.1 abc\r\nContent-Length: 0\r\n\r\n",
		"no length":          "HTTP/1.1 200 OK\r\n\r\n",
		"negative length":    "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
		"ends in header":     "HTTP/1.1 200 OK\r\nContent-Le",
		"ends in body":       "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
		"broken chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"header with no end": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*headBuffer),
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				_, _ = bufio.NewReader(theirs).ReadString('\n')
				_, _ = io.WriteString(theirs, answer)
			}()
			c := &client{conn: ours, reader: bufio.NewReaderSize(ours, headBuffer), buffer: make([]byte, readBuffer)}
			defer ours.Close()
			if err := c.do(call{request: []byte("GET\n"), status: 200}, false); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := dial(ctx, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	failed := make(chan error, 1)
	go func() { failed <- c.do(call{request: []byte("GET\n"), status: 200}, false) }()
	cancel()
	if err := <-failed; err == nil {
		t.Error("a request to a server that never answers came back without an error")
	}
}

func TestDriveCounts(t *testing.T) {
	var done atomic.Int64
	work := func() error { done.Add(1); return nil }
	got, err := drive(t.Context(), []worker{work, work, work}, extent{operations: 1000})
	if err != nil || got.operations != 1000 || done.Load() != 1000 {
		t.Errorf("%d of 1000 operations, %d done: %v", got.operations, done.Load(), err)
	}
	got, err = drive(t.Context(), []worker{work, work}, extent{duration: 20 * time.Millisecond})
	if err != nil || got.took < 20*time.Millisecond || got.operations != done.Load()-1000 {
		t.Errorf("%d operations in %s: %v", got.operations, got.took, err)
	}
	if rate := (sample{operations: 30, took: 1500 * time.Millisecond}).rate(); rate != 20 {
		t.Errorf("rate = %v, want 20", rate)
	}
	broken := errors.New("broken")
	fail := func() error { return broken }
	if _, err := drive(t.Context(), []worker{work, fail}, extent{duration: time.Hour}); !errors.Is(err, broken) {
		t.Errorf("one worker failed, and drive returned %v", err)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestCompareTakesTheMedianOfTheRoundsRatios(t *testing.T) {
	// The machine got slower in the second round, for both sides alike.
	r := result{
		Target:    0.8,
		Gateway:   series{Samples: []float64{80, 8, 90}},
		Reference: series{Samples: []float64{100, 10, 100}},
	}
	r.compare()
	if math.Abs(r.Ratio-0.8) > 1e-9 || r.Gateway.Median != 80 || r.Reference.Median != 100 || r.Met == nil || !*r.Met {
		t.Errorf("%+v", r)
	}
	r.Ratios, r.Target = nil, 0.81
	if r.compare(); *r.Met {
		t.Error("a ratio of 0.80 met a target of 0.81")
	}
	r.Ratios, r.Target, r.Met = nil, 0, nil
	if r.compare(); r.Met != nil {
		t.Error("without a target there is nothing to meet")
	}
}

func TestCompareWithABound(t *testing.T) {
	for value, met := range map[float64]bool{255: true, 256: false, 300: false} {
		r := result{Absolute: true, Target: 256, Gateway: series{Samples: []float64{value, 10, 999}}}
		if r.compare(); *r.Met != met {
			t.Errorf("%v of 256: met = %v", value, *r.Met)
		}
	}
}

func TestReport(t *testing.T) {
	var r report
	good := result{Name: "good", What: "Good", Unit: unitRequests, Yardstick: "Y", Target: 0.5, Gateway: series{Samples: []float64{797}}, Reference: series{Samples: []float64{1000}}}
	bad := result{Name: "bad", What: "Bad", Unit: unitSeconds, Absolute: true, Target: 0.5, Gateway: series{Samples: []float64{0.6, 0.7}}}
	info := good
	info.Target = 0
	for _, one := range []*result{&good, &bad, &info} {
		one.compare()
		r.add(*one)
	}
	r.add(result{Name: "broken"}.failed(errors.New("it broke")))
	if r.Met != 1 || r.Missed != 1 || r.Failed != 1 {
		t.Errorf("%d met, %d missed, %d failed", r.Met, r.Missed, r.Failed)
	}
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{"0.797", "≥ 0.5", "met", "MISSED", "0.650 s", "0.600–0.700", "broken failed: it broke", "1 targets met, 1 missed, 1 failed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestCasesHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases(options{rounds: 1}) {
		if seen[c.name()] {
			t.Errorf("%s is there twice", c.name())
		}
		seen[c.name()] = true
	}
	if len(seen) == 0 {
		t.Error("there are no cases")
	}
}

func TestCompareWhereLessIsBetter(t *testing.T) {
	r := result{LowerIsBetter: true, Target: noise, Gateway: series{Samples: []float64{104}}, Reference: series{Samples: []float64{100}}}
	if r.compare(); *r.Met || r.Ratio > 0.97 {
		t.Errorf("4 %% more time: %+v", r)
	}
	r = result{LowerIsBetter: true, Target: noise, Gateway: series{Samples: []float64{102}}, Reference: series{Samples: []float64{100}}}
	if r.compare(); !*r.Met {
		t.Errorf("2 %% more time: %+v", r)
	}
}

func TestProfileVerdict(t *testing.T) {
	for ratio, want := range map[float64]string{1 / 0.96: "it pays", 1 / 0.98: "does not pay", 0.9: "does not pay"} {
		r := report{Rounds: 2, Results: []result{{Ratios: []float64{ratio, ratio}}, {Ratios: []float64{ratio, ratio}}}}
		var out strings.Builder
		r.printProfileVerdict(&out)
		if !strings.Contains(out.String(), want) {
			t.Errorf("a ratio of %v: %s", ratio, &out)
		}
	}
}

func TestCPUTime(t *testing.T) {
	got, err := parseCPUTime("12 (a ) name) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20")
	if err != nil || got != 3*time.Second {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseCPUTime("12 (cas) S 1"); err == nil {
		t.Error("a short line was taken")
	}
}

func TestMeasuredProgramsHaveNoSettings(t *testing.T) {
	for _, name := range []string{"CAS_DATA_DIR", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"} {
		t.Setenv(name, "1")
	}
	t.Setenv("GOGC_OTHER", "1")
	env := cleanEnvironment("CAS_LISTEN=x")
	for _, variable := range env[:len(env)-1] {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "CAS_") || name == "GOGC" || name == "GOMEMLIMIT" || name == "GOMAXPROCS" || name == "GODEBUG" {
			t.Errorf("a measured program has %s", name)
		}
	}
	if !slices.Contains(env, "GOGC_OTHER=1") || env[len(env)-1] != "CAS_LISTEN=x" {
		t.Errorf("%q", env)
	}
}
