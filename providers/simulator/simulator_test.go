package simulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/simulator"
	"casgate/providers/simulator/openaisim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a simulator, whose core is what is tested here.
func start(t *testing.T, o openaisim.Options) (*openaisim.Server, client) {
	s := openaisim.New(o)
	server := httptest.NewServer(s)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return s, client{t, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, server.URL + openaisim.Prefix + "/files"}
}

type client struct {
	t    *testing.T
	http *http.Client
	url  string
}

// do makes a request, and returns its status and its JSON, if it is any.
func (c client) do(ctx context.Context, method, url, contentType string, body io.Reader) (int, map[string]any, error) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer any")
	request.Header.Set("Content-Type", contentType)
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if response.Header.Get(simulator.Header) != simulator.HeaderValue {
		c.t.Errorf("%s %s: the answer doesn't say that it is simulated", method, url)
	}
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, nil, err
	}
	var value map[string]any
	if err := json.Unmarshal(b, &value); err != nil {
		value = nil
	}
	return response.StatusCode, value, nil
}

// form is an upload's, of a few bytes.
func form(content string) (contentType string, body io.Reader) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("purpose", "user_data")
	part, _ := w.CreateFormFile("file", "a.txt")
	_, _ = io.WriteString(part, content)
	_ = w.Close()
	return w.FormDataContentType(), &b
}

func (c client) upload(ctx context.Context) (int, map[string]any, error) {
	c.t.Helper()
	contentType, body := form("hello")
	return c.do(ctx, http.MethodPost, c.url, contentType, body)
}

func (c client) mustUpload() string {
	c.t.Helper()
	status, answer, err := c.upload(c.t.Context())
	if err != nil || status != http.StatusOK {
		c.t.Fatalf("upload: %d, %v, %v", status, answer, err)
	}
	return answer["id"].(string)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault  simulator.Fault
		status int // 0: no answer at all
		stored int
		id     bool
	}{
		{simulator.Fault{Kind: simulator.Cut}, 0, 0, false},
		{simulator.Fault{Kind: simulator.Cut, Applied: true}, 0, 1, false},
		{simulator.Fault{Kind: simulator.Down}, 0, 0, false},
		{simulator.Fault{Kind: simulator.HTMLTimeout}, 504, 0, false},
		{simulator.Fault{Kind: simulator.HTMLTimeout, Applied: true}, 504, 1, false},
		{simulator.Fault{Kind: simulator.Refuse, Status: 429, Code: "c", Message: "m"}, 429, 0, false},
		{simulator.Fault{Kind: simulator.Refuse, Status: 500, Applied: true}, 500, 1, false},
		{simulator.Fault{Kind: simulator.Refuse, Status: 400, Early: true}, 400, 0, false},
		{simulator.Fault{Kind: simulator.RefuseIn200, Status: 429}, 200, 0, false},
		{simulator.Fault{Kind: simulator.NoID, Applied: true}, 200, 1, false},
		{simulator.Fault{Kind: simulator.NoID}, 200, 0, false},
		{simulator.Fault{Kind: simulator.Truncated, Applied: true}, 200, 1, false},
		{simulator.Fault{Kind: simulator.Truncated}, 200, 0, false},
		{simulator.Fault{Kind: simulator.Garbage, Applied: true}, 200, 1, false},
		{simulator.Fault{Kind: simulator.Garbage}, 200, 0, false},
		{simulator.Fault{Kind: simulator.Redirect, Location: "http://elsewhere.invalid"}, 307, 0, false},
		{simulator.Fault{Kind: simulator.Refuse, Status: 429, Op: providers.OpList}, 200, 1, true},
	} {
		t.Run(fmt.Sprintf("%s applied %t", test.fault.Kind, test.fault.Applied), func(t *testing.T) {
			t.Parallel()
			s, c := start(t, openaisim.Options{})
			test.fault.Times = 1
			s.Fail(test.fault)
			status, answer, err := c.upload(t.Context())
			if (status == 0) != (err != nil) || status != test.status {
				t.Errorf("status %d, %v; want %d", status, err, test.status)
			}
			if id, _ := answer["id"].(string); (id != "") != test.id {
				t.Errorf("answer %v", answer)
			}
			if n := len(s.Files()); n != test.stored || s.Uploads() != test.stored || s.Requests(providers.OpUpload) != 1 {
				t.Errorf("%d files, %d uploads, %d requests; want %d stored", n, s.Uploads(), s.Requests(providers.OpUpload), test.stored)
			}
			s.Clear()
			c.mustUpload()
		})
	}
}

func TestFaultsAreCounted(t *testing.T) {
	t.Parallel()
	s, c := start(t, openaisim.Options{})
	s.Fail(simulator.Fault{Skip: 1, Times: 2, Kind: simulator.Refuse, Status: 503})
	s.Fail(simulator.Fault{Skip: 1, Kind: simulator.Refuse, Status: 500})
	var got []int
	for range 6 {
		status, _, _ := c.upload(t.Context())
		got = append(got, status)
	}
	// The second fault doesn't see what the first one strikes.
	if want := []int{200, 503, 503, 500, 500, 500}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestStall(t *testing.T) {
	t.Parallel()
	s, c := start(t, openaisim.Options{})

	struck := make(chan struct{}, 1)
	s.Fail(simulator.Fault{Times: 1, Kind: simulator.Stall, Struck: struck})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-struck; cancel() }()
	if _, _, err := c.upload(ctx); !errors.Is(err, context.Canceled) || s.Uploads() != 0 {
		t.Errorf("not applied: %v, %d uploads", err, s.Uploads())
	}

	until := make(chan struct{})
	s.Fail(simulator.Fault{Times: 1, Kind: simulator.Stall, Applied: true, Struck: struck, Until: until})
	go func() {
		<-struck
		if s.Uploads() != 1 {
			t.Error("a stalled answer, and nothing was done")
		}
		close(until)
	}()
	c.mustUpload()
}

func TestEndless(t *testing.T) {
	t.Parallel()
	s, c := start(t, openaisim.Options{})
	s.Fail(simulator.Fault{Times: 1, Kind: simulator.Endless})
	response, err := c.http.Get(c.url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, response.Body, 8<<20); err != nil {
		t.Errorf("it ended: %v", err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestGates(t *testing.T) {
	t.Parallel()
	for at, stored := range map[simulator.Point]int{simulator.HeadersRead: 0, simulator.BodyRead: 0, simulator.Stored: 1} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			s, c := start(t, openaisim.Options{})
			gate := s.Hold(at)
			t.Cleanup(gate.Release)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if status, _, err := c.upload(t.Context()); err != nil || status != 200 {
					t.Errorf("%d, %v", status, err)
				}
			}()
			<-gate.Arrived()
			if n := len(s.Files()); n != stored {
				t.Errorf("at the gate there are %d files; want %d", n, stored)
			}
			c.mustUpload() // one gate holds one upload
			gate.Release()
			gate.Release()
			<-done
			if n := len(s.Files()); n != 2 {
				t.Errorf("%d files", n)
			}
		})
	}
}

func TestBehindTheBack(t *testing.T) {
	t.Parallel()
	s, c := start(t, openaisim.Options{})
	s.Lose(1)
	lost, kept := c.mustUpload(), c.mustUpload()
	if files := s.Files(); len(files) != 1 || files[0].ID != kept || s.Uploads() != 2 {
		t.Errorf("lost %s, kept %s; there is %+v", lost, kept, files)
	}
	if !s.Forget(kept) || s.Forget(kept) {
		t.Error("forgotten not at all, or twice")
	}
	planted := s.Put(simulator.RemoteFile{ID: "f", Name: "n.txt", Purpose: "user_data", Head: []byte("abc")})
	if planted.Size != 3 || planted.Digest != cas.DigestOf([]byte("abc")) || planted.CreatedAt.IsZero() {
		t.Errorf("planted %+v", planted)
	}
	if status, answer, _ := c.do(t.Context(), http.MethodGet, c.url+"/f", "", nil); status != 200 || answer["filename"] != "n.txt" {
		t.Errorf("%d %v", status, answer)
	}
	if n := s.Requests(""); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s, c := start(t, openaisim.Options{Now: func() time.Time { return now }, Lifetime: time.Hour})
	id := c.mustUpload()
	now = now.Add(time.Hour - time.Second)
	if status, _, _ := c.do(t.Context(), http.MethodGet, c.url+"/"+id, "", nil); status != 200 {
		t.Errorf("before its time it is gone: %d", status)
	}
	now = now.Add(time.Second)
	if status, _, _ := c.do(t.Context(), http.MethodGet, c.url+"/"+id, "", nil); status != 404 || len(s.Files()) > 0 {
		t.Errorf("after its time it is there: %d", status)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s, c := start(t, openaisim.Options{Now: func() time.Time { return now }, PerMinute: 2})
	c.mustUpload()
	now = now.Add(30 * time.Second)
	c.mustUpload()
	if status, _, _ := c.upload(t.Context()); status != 429 {
		t.Errorf("the third in a minute: %d", status)
	}
	now = now.Add(30 * time.Second)
	c.mustUpload()
	if s.MostAtOnce() != 1 {
		t.Errorf("%d at once", s.MostAtOnce())
	}

	s, c = start(t, openaisim.Options{Concurrency: 1})
	gate := s.Hold(simulator.BodyRead)
	done := make(chan struct{})
	go func() { defer close(done); c.mustUpload() }()
	<-gate.Arrived()
	if status, _, _ := c.upload(t.Context()); status != 429 || s.MostAtOnce() != 2 {
		t.Errorf("the second at once: %d", status)
	}
	gate.Release()
	<-done
	c.mustUpload()
}

// A fault with a chance hits that part of the requests, and the same ones for a seed.
func TestChance(t *testing.T) {
	t.Parallel()
	hits := func(seed uint64) (hits string, busy int) {
		s, c := start(t, openaisim.Options{})
		s.Seed(seed)
		s.Fail(simulator.Fault{Op: providers.OpList, Kind: simulator.Refuse, Status: 500, Chance: 0.25})
		s.Fail(simulator.Fault{Op: providers.OpList, Kind: simulator.Refuse, Status: 503, Chance: 0.5})
		for range 400 {
			status, _, err := c.do(t.Context(), "GET", c.url, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			hits += fmt.Sprint(status) + " "
			if status == 503 {
				busy++
			}
		}
		return hits, busy
	}
	first, busy := hits(1)
	if n := strings.Count(first, "500 "); n < 70 || n > 130 {
		t.Errorf("%d of 400 requests were hit with a chance of a quarter", n)
	}
	if busy < 110 || busy > 190 { // half of the other three quarters
		t.Errorf("the second fault hit %d requests", busy)
	}
	if again, _ := hits(1); again != first {
		t.Error("the same seed gave other faults")
	}
	if other, _ := hits(2); other == first {
		t.Error("another seed gave the same faults")
	}
}

// Faults with a chance count the requests that they hit.
func TestChanceWithTimes(t *testing.T) {
	t.Parallel()
	s, c := start(t, openaisim.Options{})
	s.Fail(simulator.Fault{Op: providers.OpList, Kind: simulator.Refuse, Status: 500, Chance: 0.25, Times: 3})
	failed := 0
	for range 100 {
		status, _, err := c.do(t.Context(), "GET", c.url, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if status == 500 {
			failed++
		}
	}
	if failed != 3 {
		t.Errorf("%d requests failed", failed)
	}
}

func TestFilesAreSeenLate(t *testing.T) {
	now := time.Unix(1000, 0)
	c := simulator.NewCore(simulator.Config{Now: func() time.Time { return now }})
	c.Control().Delay(simulator.Lateness{List: 2 * time.Second, Retrieve: time.Second, Content: 3 * time.Second, Delete: 4 * time.Second})
	if _, refusal := c.Store(simulator.RemoteFile{ID: "a"}, func([]*simulator.RemoteFile, *simulator.RemoteFile) *simulator.Answer { return nil }); refusal != nil {
		t.Fatal(refusal)
	}
	seen := func() string {
		var what string
		if len(c.Listed()) == 1 {
			what += "L"
		}
		if _, found := c.Poll("a"); found {
			what += "R"
		}
		if _, found := c.Content("a"); found {
			what += "C"
		}
		return what
	}
	for seconds, want := range []string{"", "R", "LR", "LRC"} {
		if got := seen(); got != want {
			t.Errorf("after %d s the file is seen in %q, not %q", seconds, got, want)
		}
		if found, _ := c.Delete("a"); found {
			t.Errorf("after %d s it is deleted", seconds)
		}
		now = now.Add(time.Second)
	}
	c.Control().Deny(1, simulator.Stays)
	if found, deleted := c.Delete("a"); !found || deleted || len(c.Control().Files()) != 1 {
		t.Errorf("a denied delete: %t, %t", found, deleted)
	}
	c.Control().Deny(1, simulator.Goes)
	if found, deleted := c.Delete("a"); !found || deleted || len(c.Control().Files()) != 0 {
		t.Errorf("a denied delete that removes: %t, %t", found, deleted)
	}
}
