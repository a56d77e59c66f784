package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// aCopy is the copy that the gateways of these tests tell of.
func aCopy(state, id string) api.Copy {
	return api.Copy{Digest: wantedDigest, Provider: "kimi", Purpose: "file-extract", State: state, ProviderFileID: id, OperationID: "op-1"}
}

// answer answers a request with JSON, or with a problem.
func answer(t *testing.T, w http.ResponseWriter, status int, v any) {
	t.Helper()
	mediaType := "application/json"
	if _, ok := v.(problem.Details); ok {
		mediaType = "application/problem+json"
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Error(err)
	}
}

// runWith runs cas against a gateway that answers like this.
func runWith(t *testing.T, ctx context.Context, handler http.HandlerFunc, args ...string) outcome {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	return runCas(t, ctx, server, nil, args...)
}

func TestSyncWaitsForLongerThanTheGateway(t *testing.T) {
	for name, tt := range map[string]struct {
		last   api.Operation
		code   int
		stdout string
		stderr string
	}{
		"ready": {
			last: api.Operation{Status: api.OperationSucceeded, Copy: new(aCopy("ready", "file_1"))},
			code: exit.OK, stdout: "kimi\tfile_1\n",
			stderr: "ready  ",
		},
		"failed": {
			last: api.Operation{Status: api.OperationFailed, Copy: new(aCopy("failed", "")), Error: &problem.Details{
				Code: problem.ProviderQuota, Detail: "kimi: upload failed: the balance is used up", Provider: "kimi", OperationID: "op-1",
			}},
			code:   exit.Refused,
			stderr: "→ kimi: kimi: upload failed: the balance is used up (provider_quota, operation op-1); after you have fixed that, `cas sync --retry` tries again at once\n",
		},
		"lost meanwhile": {
			last:   api.Operation{Status: api.OperationSucceeded, Copy: new(aCopy("lost", ""))},
			code:   exit.Unavailable,
			stderr: "the copy was made, and now it is lost; the same command makes it again\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			looks := 0
			o := runWith(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
				switch r.Method + " " + r.URL.Path {
				case "PUT /v1/blobs/" + wantedDigest.String() + "/copies/kimi":
					answer(t, w, 202, aCopy("pending", ""))
				case "GET /v1/operations/op-1":
					if looks++; looks == 1 {
						answer(t, w, 200, api.Operation{Status: api.OperationRunning, Copy: new(aCopy("uploading", ""))})
						return
					}
					answer(t, w, 200, tt.last)
				default:
					t.Errorf("unexpected %s %s", r.Method, r.URL)
				}
			}, "sync", wantedDigest.String(), "--to=kimi")
			if o.code != tt.code || o.stdout != tt.stdout || !strings.Contains(o.stderr, tt.stderr) || looks != 2 {
				t.Errorf("after %d looks: %+v", looks, o)
			}
		})
	}
}

func TestSyncGivesUpWaitingAndSaysHowFarItIs(t *testing.T) {
	var mu sync.Mutex // The handler of the request that the client gave up may still run.
	asked := map[string]int{}
	o := runWith(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		prefer := r.Header.Get("Prefer")
		mu.Lock()
		asked[prefer+r.URL.RawQuery]++
		mu.Unlock()
		if prefer != "respond-async" {
			<-r.Context().Done()
			return
		}
		answer(t, w, 202, aCopy("processing", ""))
	}, "sync", wantedDigest.String(), "--to=kimi", "--wait=200ms", "--retry", "--json")
	want := "kimi: copy in progress: it is processing, and the gateway continues (operation op-1)\n"
	if o.code != exit.UnderWay || !strings.Contains(o.stderr, want) ||
		!strings.Contains(o.stdout, `"copy":{`) || !strings.Contains(o.stdout, `"error":{`) {
		t.Errorf("%+v", o)
	}
	mu.Lock()
	defer mu.Unlock()
	// What was to be tried again is so once. The time may be over before the first request is sent.
	const tryAgain, howFar = "wait=20retry=true", "respond-async"
	if asked[howFar] != 1 || asked[tryAgain] > 1 || len(asked) != 1+asked[tryAgain] {
		t.Errorf("it asked %v", asked)
	}
}

func TestInterruptedSyncSaysWhetherTheWorkGoesOn(t *testing.T) {
	for name, tt := range map[string]struct {
		args  []string
		until string // what the request at which it is interrupted is for
		says  bool
	}{
		"while waiting":   {[]string{wantedDigest.String()}, "/copies/kimi", true},
		"while uploading": {[]string{"copies_test.go"}, "/find-missing", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := interruptible(t)
			o := runWith(t, ctx, func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, tt.until) {
					answer(t, w, 200, api.Provider{Name: "kimi"})
					return
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					t.Error(err)
				}
				interrupt()
				<-r.Context().Done()
			}, append([]string{"sync", "--to=kimi,glm", "--parallel=1"}, tt.args...)...)
			if says := strings.Contains(o.stderr, "stopped waiting; the gateway continues the copies"); o.code != exit.Interrupted || says != tt.says {
				t.Errorf("%+v", o)
			}
			if strings.Count(o.stderr, "\n") != 1 || o.stdout != "" {
				t.Errorf("it says more than that it was stopped: %+v", o)
			}
		})
	}
}

// Whatever the number at once, results come in the order of the arguments.
func TestSyncPrintsInOrder(t *testing.T) {
	digests := make([]string, 6)
	for i := range digests {
		digests[i] = cas.DigestOf([]byte{byte(i)}).String()
	}
	var mu sync.Mutex
	ready := sync.NewCond(&mu)
	left := len(digests)
	o := runWith(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		// The last one is answered first.
		at := 0
		for i, d := range digests {
			if strings.Contains(r.URL.Path, d) {
				at = i
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for left != at+1 {
			ready.Wait()
		}
		left--
		ready.Broadcast()
		answer(t, w, 200, aCopy("ready", fmt.Sprint("file_", at)))
	}, append([]string{"sync", "--to=kimi", "--parallel=6"}, digests...)...)
	for i, line := range strings.Split(strings.TrimSpace(o.stdout), "\n") {
		if want := fmt.Sprintf("kimi\tfile_%d\t%s", i, digests[i]); line != want {
			t.Errorf("line %d is %q, want %q", i, line, want)
		}
	}
	if o.code != exit.OK {
		t.Errorf("%+v", o)
	}
}

func TestDeleteIsSaidOnlyOnceItIsConfirmed(t *testing.T) {
	failed := aCopy("deleting", "file_1")
	failed.Error = &api.ProviderError{Kind: "transient", Status: 503, Message: "busy"}
	noKey := aCopy("deleting", "file_1")
	noKey.Error = &api.ProviderError{Kind: "auth", Code: "not_configured", Message: "there is no key", Hint: "configure it"}
	name := wantedDigest.String() + " at kimi (file-extract)"
	for title, tt := range map[string]struct {
		copies []api.Copy
		code   int
		stdout string
		stderr string
	}{
		"confirmed":   {[]api.Copy{aCopy("deleted", "")}, exit.OK, name + " deleted\n", ""},
		"being tried": {[]api.Copy{failed}, exit.UnderWay, "", "cas: " + name + ": kimi has not confirmed the delete yet (503 transient: busy); the gateway keeps trying\n"},
		"no key":      {[]api.Copy{noKey}, exit.UnderWay, "", "there is no key); configure it; the gateway keeps trying\n"},
		"one of both": {[]api.Copy{aCopy("deleting", "file_1"), aCopy("deleted", "")}, exit.UnderWay, name + " deleted\n", "has not confirmed the delete yet; the gateway"},
	} {
		o := runWith(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
			answer(t, w, 202, api.CopyList{Copies: tt.copies})
		}, "copies", "rm", wantedDigest.String(), "--from=kimi")
		if o.code != tt.code || o.stdout != tt.stdout || !strings.Contains(o.stderr, tt.stderr) {
			t.Errorf("%s: %+v", title, o)
		}
	}
}

// A copy that nobody can use looks like none that is ready.
func TestCopiesThatExpiredOrWereEvicted(t *testing.T) {
	expired, evicted, ready := aCopy("ready", "file_1"), aCopy("evicted", ""), aCopy("ready", "file_2")
	expired.ExpiresAt = new(time.Now().Add(-time.Hour))
	o := runWith(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		answer(t, w, 200, api.CopyList{Copies: []api.Copy{expired, evicted, ready}})
	}, "copies", wantedDigest.String())
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(o.stdout), "\n")[1:] {
		cells := strings.Fields(line)
		got = append(got, cells[3]+" "+cells[len(cells)-2])
	}
	if len(got) != 3 || !strings.HasPrefix(got[0], "expired ") || got[1] != "evicted -" || got[2] != "ready never" {
		t.Errorf("%q from %s%s", got, o.stdout, o.stderr)
	}
}

// A provider that fails doesn't hold the commands up that delete everywhere.
func TestDeleteEverywhereEndsWhenAProviderFails(t *testing.T) {
	blob, file := wantedDigest.String(), "file-k3v7hq2m5x4d6n8p9r2s4t6w8y"
	failed := aCopy("deleting", "file_1")
	failed.Error = &api.ProviderError{Kind: "transient", Status: 500, Message: "broken"}
	reason := "kimi has not confirmed the delete yet (500 transient: broken); the gateway keeps trying\n"
	for name, tt := range map[string]struct {
		flag, prefer string
		minLooks     int
		stderr       string
	}{
		"usual":           {"", "wait=10", 1, reason},
		"patient":         {"--wait=3s", "wait=1", 2, reason},
		"without waiting": {"--no-wait", "respond-async", 0, "kimi has not confirmed the delete yet; the gateway keeps trying\n"},
	} {
		for _, args := range [][]string{{"rm", blob, "--everywhere"}, {"file", "rm", file, "--everywhere"}} {
			t.Run(name+" "+args[0], func(t *testing.T) {
				var looks atomic.Int32
				if tt.flag != "" {
					args = append(args, tt.flag)
				}
				o := runWith(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
					copies := []api.Copy{aCopy("deleting", "file_1")}
					switch r.Method + " " + r.URL.Path {
					case "DELETE /v1/blobs/" + blob:
						answer(t, w, 202, api.DeletedEverywhere{Deleted: api.Deleted{Digest: wantedDigest, State: "condemned"}, Copies: copies})
					case "DELETE /v1/files/" + file:
						answer(t, w, 202, api.FileDeletedEverywhere{
							FileDeleted: api.FileDeleted{ID: file, Deleted: true}, Blob: &api.ReleasedBlob{Digest: wantedDigest, State: "condemned"}, Copies: copies,
						})
					case "GET /v1/operations/op-1":
						looks.Add(1)
						answer(t, w, 200, api.Operation{Status: api.OperationRunning, Copy: &failed, Error: &problem.Details{Code: problem.ProviderUnavailable, Retryable: true}})
						return
					default:
						t.Errorf("unexpected %s %s", r.Method, r.URL)
					}
					if got := r.Header.Get("Prefer"); got != tt.prefer {
						t.Errorf("%q prefers %q; want %q", args, got, tt.prefer)
					}
				}, args...)
				if o.code != exit.UnderWay || !strings.HasSuffix(o.stderr, tt.stderr) || int(looks.Load()) < tt.minLooks {
					t.Errorf("%q, after %d looks: %+v", args, looks.Load(), o)
				}
			})
		}
	}
}

func TestReconcileTellsWhatItFound(t *testing.T) {
	found := api.Reconciliation{
		Provider: "kimi", Account: "abc@host", Remote: 8, Rows: 5, Foreign: 2,
		Others:    api.OthersFiles{Files: 1, Bytes: 6, Examples: []api.RemoteFile{{ID: "file_o", Name: "b-cas9876543210-0123456789abcdef-1.txt", Size: 6, Purpose: "file-extract"}}},
		Unknown:   []api.RemoteFile{{ID: "file_u", Name: "a-cas0123456789-0123456789abcdef-1.txt", Size: 5, Purpose: "file-extract"}},
		Gone:      []api.Copy{aCopy("ready", "file_g")},
		Elsewhere: []api.Copy{aCopy("ready", "file_e")},
	}
	dry := `kimi, account abc@host: 8 files there, 5 copies known here
1 unknown: made by this installation, and no copy names them; they would be deleted
  file_u  file-extract  5 B  -  a-cas0123456789-0123456789abcdef-1.txt
1 gone: not there any more; they would be marked lost, and made again when next asked for
  file_g  ` + wantedDigest.String() + ` at kimi (file-extract)
1 elsewhere: at accounts that the present key doesn't open; nothing is done about them
    file_e  ` + wantedDigest.String() + ` at kimi (file-extract)
1 of other casgates (6 B), such as these; they are left alone
  file_o  file-extract  6 B  -  b-cas9876543210-0123456789abcdef-1.txt
2 foreign: not made by a casgate; they are left alone
nothing was changed; --apply repairs it
`
	applied := strings.NewReplacer("would be", "were", "nothing was changed; --apply repairs it\n", "").Replace(dry)
	failing := func(failures ...string) func(*api.Reconciliation) {
		return func(r *api.Reconciliation) { r.Applied, r.Failures = true, failures }
	}
	for name, tt := range map[string]struct {
		change func(*api.Reconciliation)
		code   int
		stdout string
		stderr string
	}{
		"differences":         {func(*api.Reconciliation) {}, exit.Differs, dry, ""},
		"repaired":            {failing(), exit.OK, applied, ""},
		"half of it repaired": {failing("no"), exit.Partly, applied, "cas: kimi: no\n"},
		"none of it repaired": {failing("no", "nor that"), exit.Failure, applied, "cas: kimi: no\ncas: kimi: nor that\n"},
		"others' files alone": {func(r *api.Reconciliation) {
			r.Unknown, r.Gone, r.Elsewhere, r.Others = nil, nil, nil, api.OthersFiles{}
		}, exit.OK, "kimi, account abc@host: 8 files there, 5 copies known here\n2 foreign: not made by a casgate; they are left alone\nno differences\n", ""},
	} {
		report := found
		tt.change(&report)
		o := runWith(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
			if want := fmt.Sprintf("apply=%t", report.Applied); r.URL.RawQuery != want {
				t.Errorf("%s: it asks with %q", name, r.URL.RawQuery)
			}
			answer(t, w, 200, report)
		}, "copies", "reconcile", "--provider=kimi", fmt.Sprintf("--apply=%t", report.Applied))
		if want := (outcome{tt.code, tt.stdout, tt.stderr}); o != want {
			t.Errorf("%s: %+v\nwant %+v", name, o, want)
		}
	}
}

func TestExitCodesOfProblems(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		problem problem.Details
		code    int
	}{
		{problem.Details{Code: problem.ProviderNotFound}, exit.NotFound},
		{problem.Details{Code: problem.CopyNotFound}, exit.NotFound},
		{problem.Details{Code: problem.OperationNotFound}, exit.NotFound},
		{problem.Details{Code: problem.BlobNotFound}, exit.NotFound},
		{problem.Details{Code: problem.ProviderRejected}, exit.Refused},
		{problem.Details{Code: problem.ProviderQuota}, exit.Refused},
		{problem.Details{Code: problem.ProviderQuota, Retryable: true}, exit.Refused},
		{problem.Details{Code: problem.ProviderFailed}, exit.Refused},
		{problem.Details{Code: problem.ProviderFailed, Retryable: true}, exit.Unavailable},
		{problem.Details{Code: problem.ProviderUnavailable}, exit.Unavailable},
		{problem.Details{Code: problem.ProviderUnavailable, Retryable: true}, exit.Unavailable},
		{problem.Details{Code: problem.ProviderRateLimited, Retryable: true}, exit.Unavailable},
		{problem.Details{Code: problem.ProviderTimeout, Retryable: true}, exit.Unavailable},
		{problem.Details{Code: problem.CopyInProgress, Retryable: true}, exit.UnderWay},
		{problem.Details{Code: problem.Overloaded, Retryable: true}, exit.Unavailable},
		{problem.Details{Code: problem.Internal}, exit.Failure},
	} {
		err := fmt.Errorf("wrapped: %w", &client.Error{Problem: tt.problem})
		if code := report.ExitCode(t.Context(), err); code != tt.code {
			t.Errorf("%s, retryable %t: exit code %d, want %d", tt.problem.Code, tt.problem.Retryable, code, tt.code)
		}
	}
}
