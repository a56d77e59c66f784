package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/gateway"
)

// hotRequests are the two that must stay cheap: a read of a hot blob, and an ensure
// of a ready copy.
func (b bench) hotRequests(t testing.TB) map[string]*http.Request {
	d := b.put(t, random(4<<10), "x.txt").String()
	copies := "/v1/blobs/" + d + "/copies/kimi"
	b.gateway.ServeHTTP(httptest.NewRecorder(), b.request(t, "PUT", copies))
	return map[string]*http.Request{"get": b.request(t, "GET", "/v1/blobs/"+d), "copy-hit": b.request(t, "PUT", copies)}
}

// A record adds no allocation to the requests that must stay cheap.
func TestRecordsCostNoAllocation(t *testing.T) {
	least := map[string]float64{}
	for _, journaled := range []bool{false, true} {
		rig := newBenchWith(t, func(o *gateway.Options) {
			if o.Journal = nil; journaled {
				o.Journal = journal.NewWriter(nil, journal.WriterOptions{}) // which does not run
			}
		})
		for name, req := range rig.hotRequests(t) {
			fewest := math.Inf(1)
			for range 5 { // background work allocates, too
				fewest = min(fewest, testing.AllocsPerRun(500, func() { rig.gateway.ServeHTTP(&nowhere{header: http.Header{}}, req) }))
			}
			if !journaled {
				least[name] = fewest
			} else if fewest > least[name]+raceAllocations {
				t.Errorf("%s: %v allocations, and %v without a record", name, fewest, least[name])
			}
		}
	}
}

// BenchmarkJournal measures the cost of a record for its request.
func BenchmarkJournal(b *testing.B) {
	for _, journaled := range []bool{false, true} {
		rig := newBenchWith(b, func(o *gateway.Options) {
			if !journaled {
				o.Journal = nil
			}
		})
		for name, req := range rig.hotRequests(b) {
			b.Run(fmt.Sprintf("%s/journal=%t", name, journaled), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					rig.gateway.ServeHTTP(&nowhere{header: http.Header{}}, req)
				}
			})
		}
	}
}

// load is a mix of operations, as quick as they go: nine reads of small hot blobs
// to each upload of a new one.
type load struct {
	client *http.Client
	url    string
	token  string
	hot    []cas.Digest
}

// run does n operations from several clients at once, and returns how long each
// took, sorted. It calls failed with each error.
func (l load) run(n, clients int, failed func(error)) []time.Duration {
	took := make([]time.Duration, n)
	var next atomic.Int64
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				began := time.Now()
				if err := l.one(int(i)); err != nil {
					failed(err)
				}
				took[i] = time.Since(began)
			}
		})
	}
	group.Wait()
	slices.Sort(took)
	return took
}

func (l load) one(i int) error {
	method, path, body := http.MethodGet, "/v1/blobs/"+l.hot[i%len(l.hot)].String(), io.Reader(nil)
	if i%10 == 0 {
		method, path, body = http.MethodPost, "/v1/blobs", bytes.NewReader(random(1<<10))
	}
	req, err := http.NewRequest(method, l.url+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	res, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %d, %v", method, res.StatusCode, err)
	}
	return nil
}

// loadOps is how many operations the journal is loaded with.
const loadOps = 20_000

// BenchmarkJournalLoad compares how long requests take on gateways with and without
// a journal, in turn: it reports the ratios of the median, of the 99th of a hundred
// and of the mean, and how many of the records were lost.
func BenchmarkJournalLoad(b *testing.B) {
	for name, newRig := range map[string]func(testing.TB, func(*gateway.Options)) bench{"embedded": newBenchWith, "served": newServedBenchWith} {
		b.Run(name, func(b *testing.B) {
			var loads []load
			var rigs []bench
			for _, journaled := range []bool{false, true} {
				rig := newRig(b, func(o *gateway.Options) {
					if !journaled {
						o.Journal = nil
					}
				})
				l := load{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}, url: "http://" + rig.serve(b), token: rig.token}
				for range 10 {
					l.hot = append(l.hot, rig.put(b, random(4<<10), ""))
				}
				loads, rigs = append(loads, l), append(rigs, rig)
			}
			var sums [2][3]time.Duration // by journal; the median, the 99th and the mean
			for b.Loop() {
				var took [2][]time.Duration
				for turn := range 20 { // short ones, so that other load affects both alike
					i := turn % 2
					took[i] = append(took[i], loads[i].run(loadOps/10, 16, func(err error) { b.Error(err) })...)
				}
				for i, all := range took {
					slices.Sort(all)
					sums[i][0] += all[len(all)/2]
					sums[i][1] += all[len(all)*99/100]
					for _, one := range all {
						sums[i][2] += one / loadOps
					}
				}
			}
			b.ReportMetric(float64(sums[1][0])/float64(sums[0][0]), "median-ratio")
			b.ReportMetric(float64(sums[1][1])/float64(sums[0][1]), "p99-ratio")
			b.ReportMetric(float64(sums[1][2])/float64(sums[0][2]), "mean-ratio")
			b.ReportMetric(float64(sums[1][0].Microseconds())/float64(b.N), "median-us")
			b.ReportMetric(float64(sums[1][1].Microseconds())/float64(b.N), "p99-us")
			b.ReportMetric(float64(rigs[1].records.Lost())/float64(b.N), "lost/op")
		})
	}
}
