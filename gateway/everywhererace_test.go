package gateway_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
	"casgate/providers"
	"casgate/providers/kimi"
	"casgate/providers/replicator"
	"casgate/providers/simulator"
	"casgate/providers/simulator/kimisim"
)

// stepGate holds the first upload that comes to a step.
type stepGate struct {
	at       replicator.Step
	once     sync.Once
	arrived  chan struct{}
	released chan struct{}
}

func (g *stepGate) pass(at replicator.Step) {
	if at == g.at {
		g.once.Do(func() { close(g.arrived); <-g.released })
	}
}

// openRead begins to read the bytes of a file, and reads no more than the first few.
func (s *server) openRead(path string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	castest.Cleanup(s.t, func() { res.Body.Close() })
	if res.StatusCode != 200 {
		s.t.Fatalf("GET %s: %d", path, res.StatusCode)
	}
	return res
}

// wantRest reads the rest of an answer that openRead began.
func wantRest(t *testing.T, res *http.Response, content []byte) {
	t.Helper()
	sum := sha256.New()
	n, err := io.Copy(sum, res.Body)
	if err != nil || cas.Digest(sum.Sum(nil)) != cas.DigestOf(content) {
		t.Errorf("a reader that had begun got %d bytes of %d, %v", n, len(content), err)
	}
}

// wantReconciled compares ledger and provider.
func (s *server) wantReconciled(provider string) {
	s.t.Helper()
	a := s.do("POST", "/v1/providers/"+provider+"/reconcile", nil)
	report := decode[api.Reconciliation](s.t, a)
	if a.StatusCode != 200 || report.Remote != 0 || len(report.Unknown) != 0 || len(report.Gone) != 0 {
		s.t.Errorf("a reconciliation finds something: %d %s", a.StatusCode, a.body)
	}
}

// A file is deleted everywhere while a copy of it is being made, wherever that is
// held, and while it is read.
func TestDeleteEverywhereWhileACopyIsMade(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		string(replicator.StepClaimed), string(replicator.StepRoomMade),
		string(simulator.HeadersRead), string(simulator.BodyRead), string(simulator.Stored),
		string(replicator.StepUploaded), string(replicator.StepCompleted),
	} {
		t.Run(at, func(t *testing.T) {
			setups(t, func(t *testing.T, p *parts) { deleteWhileCopying(t, p, at) })
		})
	}
}

func deleteWhileCopying(t *testing.T, p *parts, at string) {
	atKimi := kimisim.New(kimisim.Options{Key: kimiKey})
	account := chain(t, atKimi, kimisim.Prefix, kimi.Open, kimiKey, &syncBuffer{})
	steps := &stepGate{at: replicator.Step(at), arrived: make(chan struct{}), released: make(chan struct{})}
	arrived, release := (<-chan struct{})(steps.arrived), sync.OnceFunc(func() { close(steps.released) })
	if slices.Contains([]simulator.Point{simulator.HeadersRead, simulator.BodyRead, simulator.Stored}, simulator.Point(at)) {
		gate := atKimi.Hold(simulator.Point(at))
		arrived, release = gate.Arrived(), gate.Release
	}
	p.copies = func(o *replicator.Options) {
		o.Providers, o.OnStep = []providers.Guarded{account}, steps.pass
		o.Lease = 3 * time.Second // the queue is to look for the file after its release
	}
	uploader := start(t, p, nil)
	remover := uploader
	if p.shared { // another gateway, which knows of the upload by the ledger alone
		remover = start(t, p, nil)
	}
	castest.Cleanup(t, release)

	content := []byte(strings.Repeat("some text\n", 1<<20))
	d := cas.DigestOf(content)
	file := uploader.newFile("x.txt", string(content))
	asked := make(chan answer, 1)
	go func() {
		a, err := uploader.try("PUT", uploader.fileCopyPath(file.ID, "kimi"), nil)
		if err != nil {
			t.Errorf("the ensure: %v", err)
		}
		asked <- a
	}()
	<-arrived
	contentPath := "/v1/files/" + file.ID + "/content"
	reads := []*http.Response{uploader.openRead(contentPath), remover.openRead(contentPath), remover.openRead(remover.path(d))}

	// A delete in progress must not be reported as finished.
	wantState, wantStatus, prefer := "deleting", 202, "wait=1" // less than the upload's lease
	switch at {
	case string(simulator.Stored), string(replicator.StepUploaded), string(replicator.StepCompleted):
		// The provider lists the file, so nothing more can come of the upload.
		wantState, wantStatus, prefer = "deleted", 200, "wait=30"
	}
	a := remover.do("DELETE", "/v1/files/"+file.ID+"?everywhere=true", nil, "Prefer", prefer)
	gone := decode[api.FileDeletedEverywhere](t, a)
	if gone.ID != file.ID || !gone.Deleted || gone.Blob == nil || gone.Blob.State != "condemned" || len(gone.Copies) != 1 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a.StatusCode != wantStatus || gone.Copies[0].State != wantState {
		t.Errorf("%d %s; want %d, and a copy that is %s", a.StatusCode, a.body, wantStatus, wantState)
	}
	// Later requests find nothing, by neither name.
	remover.do("GET", contentPath, nil).wantFileError(t, 404, problem.FileNotFound, "id")
	remover.do("GET", remover.path(d), nil).wantProblem(t, 404, problem.BlobNotFound)
	remover.do("PUT", remover.copyPath(d, "kimi"), nil).wantProblem(t, 404, problem.BlobNotFound)
	eventually(t, "the other gateway to know", func() bool { return uploader.do("GET", uploader.path(d), nil).StatusCode == 404 })

	release()
	if a.StatusCode == 202 {
		if o := remover.waitOperation(remover.operationOf(a)); o.Kind != api.OperationDelete || o.Status != api.OperationSucceeded {
			t.Errorf("%+v", o)
		}
	}
	if files := atKimi.Files(); len(files) != 0 {
		t.Errorf("the copy is said to be deleted, and there is %s", files[0].ID)
	}
	switch made := <-asked; {
	case made.StatusCode == 200 && at == string(replicator.StepCompleted): // it was ready before the delete
	default:
		// The upload ends with the copy or with the blob, whichever it misses first.
		if made.StatusCode == 409 {
			made.wantFileError(t, 409, problem.CopyDeleted, "")
			break
		}
		made.wantFileError(t, 404, problem.BlobNotFound, "")
	}
	for _, res := range reads {
		wantRest(t, res, content)
	}
	uploader.do("PUT", uploader.copyPath(d, "kimi"), nil).wantProblem(t, 404, problem.BlobNotFound)
	uploader.do("GET", uploader.path(d)+"/copies", nil).wantProblem(t, 404, problem.BlobNotFound)
	if n := atKimi.Uploads(); n > 1 {
		t.Errorf("it was uploaded %d times", n)
	}
	for _, s := range []*server{uploader, remover} {
		s.wantReconciled("kimi")
		wantNoPanic(t, s)
	}
	remover.do("DELETE", "/v1/files/"+file.ID+"?everywhere=true", nil).wantFileError(t, 404, problem.FileNotFound, "id")
}

// Files are deleted everywhere at random moments, while others ask for copies, read,
// and make files of the same bytes.
func TestDeleteEverywhereAmongOthers(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		kimi := newRemote("kimi")
		p.copies = func(o *replicator.Options) {
			o.Providers, o.Lease = []providers.Guarded{reader{kimi}}, time.Second
		}
		servers := []*server{start(t, p, nil)}
		if p.shared {
			servers = append(servers, start(t, p, nil))
		}
		for round := range castest.Thorough(15, 5) {
			content := fmt.Sprintf("text %d ", round) + strings.Repeat("x", 1<<12)
			d := cas.DigestOf([]byte(content))
			files := []api.File{servers[0].newFile("a.txt", content), servers[0].newFile("b.txt", content)}
			var group sync.WaitGroup
			for i := range 6 {
				s := servers[i%len(servers)]
				group.Go(func() {
					a, err := s.try("PUT", s.copyPath(d, "kimi"), nil)
					if err != nil || a.StatusCode != 200 && a.StatusCode != 202 && a.StatusCode != 404 && a.StatusCode != 409 {
						t.Errorf("the ensure: %d %s, %v", a.StatusCode, a.body, err)
					}
				})
				group.Go(func() {
					for range 5 {
						a, err := s.try("GET", "/v1/files/"+files[i%2].ID+"/content", nil)
						if err != nil || a.StatusCode != 404 && (a.StatusCode != 200 || string(a.body) != content) {
							t.Errorf("the read: %d, %d bytes, %v", a.StatusCode, len(a.body), err)
						}
					}
				})
			}
			for i, file := range files {
				s := servers[i%len(servers)]
				group.Go(func() {
					gone, err := s.client().File(file.ID).DeleteEverywhere(t.Context(), client.EverywhereOptions{})
					if err != nil {
						t.Errorf("the delete: %+v, %v", gone, err)
					}
				})
			}
			group.Wait()
			for _, s := range servers {
				eventually(t, "every gateway to know", func() bool { return s.do("GET", s.path(d), nil).StatusCode == 404 })
				s.do("PUT", s.copyPath(d, "kimi"), nil).wantProblem(t, 404, problem.BlobNotFound)
			}
			eventually(t, "nothing to be left at the provider", func() bool { return len(kimi.ids()) == 0 })
		}
		for _, s := range servers {
			s.wantReconciled("kimi")
			wantNoPanic(t, s)
		}
	})
}
