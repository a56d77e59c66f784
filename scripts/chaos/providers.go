package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/simulator"
	"casgate/providers/simulator/glmsim"
	"casgate/providers/simulator/kimisim"
)

// providerNames are the simulated providers, in the order of accounts.
var providerNames = []string{"kimi", "glm"}

// The keys of the simulated accounts.
const (
	kimiKey = "sk-chaos-0123456789abcdef"
	glmKey  = "0123456789abcdef.chaos"
)

// accounts are the simulated providers' accounts. They outlive gateways.
type accounts struct {
	port     int
	controls []simulator.Control // as in providerNames
	server   *http.Server
	spoiled  []sync.Mutex // lets one fault at a time work on an account
}

func newAccounts() (*accounts, error) {
	kimi, glm := kimisim.New(kimisim.Options{Key: kimiKey}), glmsim.New(glmsim.Options{Key: glmKey})
	mux := http.NewServeMux()
	mux.Handle(kimisim.Prefix+"/", kimi)
	mux.Handle(glmsim.Prefix+"/", glm)
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", address(port))
	if err != nil {
		return nil, err
	}
	a := &accounts{port: port, controls: []simulator.Control{kimi.Control, glm.Control}, server: &http.Server{Handler: mux}}
	a.spoiled = make([]sync.Mutex, len(a.controls))
	go func() { _ = a.server.Serve(ln) }() // until close
	return a, nil
}

func (a *accounts) close() { _ = a.server.Close() } // nothing is left to lose

// providerSettings says at which port the accounts are. Late files turn up, and limits
// are reached, faster than at the real ones.
func providerSettings(port int) []string {
	base := "http://" + address(port)
	return []string{
		"CAS_KIMI_API_KEY=" + kimiKey, "CAS_KIMI_BASE_URL=" + base + kimisim.Prefix, "CAS_KIMI_SETTLING=1s", "CAS_KIMI_PER_MINUTE=6000", "CAS_KIMI_CONCURRENCY=20",
		"CAS_GLM_API_KEY=" + glmKey, "CAS_GLM_BASE_URL=" + base + glmsim.Prefix, "CAS_GLM_SETTLING=1s", "CAS_GLM_PER_MINUTE=6000", "CAS_GLM_CONCURRENCY=20",
		"CAS_COPY_WAIT=5s",
	}
}

// remoteFiles returns the ids of all remote files with these bytes.
func (c *campaign) remoteFiles(d cas.Digest) map[string]bool {
	ids := map[string]bool{}
	for i, control := range c.accounts.controls {
		for _, f := range control.Files() {
			if f.Digest == d {
				ids[providerNames[i]+" "+f.ID] = true
			}
		}
	}
	return ids
}

// providerFaults are the ways in which a provider fails.
var providerFaults = []simulator.Fault{
	{Kind: simulator.Down},
	{Kind: simulator.Cut},
	{Kind: simulator.Cut, Applied: true},
	{Kind: simulator.HTMLTimeout},
	{Kind: simulator.HTMLTimeout, Applied: true},
	{Kind: simulator.NoID, Applied: true},
	{Kind: simulator.Truncated, Applied: true},
	{Kind: simulator.Garbage},
	{Kind: simulator.Stall},
	{Kind: simulator.Stall, Applied: true},
	{Kind: simulator.Refuse, Status: http.StatusInternalServerError, Code: "internal", Message: "try later"},
	{Kind: simulator.Refuse, Status: http.StatusTooManyRequests, Code: "rate_limit_reached_error", Message: "too many requests"},
}

// listLateness is how late files turn up in lists. It is below the settling time.
const listLateness = 500 * time.Millisecond

// spoilProvider makes every second upload and delete, and every fourth look, fail for a
// while.
func (c *campaign) spoilProvider(f fault, lasting func()) error {
	if !c.accounts.spoiled[f.target].TryLock() {
		return nil
	}
	defer c.accounts.spoiled[f.target].Unlock()
	control := c.accounts.controls[f.target]
	random := rand.New(rand.NewPCG(c.config.seed, uint64(f.at)))
	ended := make(chan struct{})
	for op, chance := range map[providers.Op]float64{providers.OpUpload: 0.5, providers.OpDelete: 0.5, providers.OpList: 0.25, providers.OpRetrieve: 0.25} {
		fault := providerFaults[random.IntN(len(providerFaults))]
		fault.Op, fault.Chance, fault.Until = op, chance, ended
		control.Fail(fault)
		c.count(fmt.Sprintf("provider: %s %s", op, fault.Kind))
	}
	control.Delay(simulator.Lateness{List: listLateness})
	lasting()
	control.Clear()
	control.Delay(simulator.Lateness{})
	close(ended)
	return nil
}

// loseReplies makes a provider keep the files of every second upload without a reply, for a
// while.
func (c *campaign) loseReplies(f fault, lasting func()) {
	if !c.accounts.spoiled[f.target].TryLock() {
		return
	}
	defer c.accounts.spoiled[f.target].Unlock()
	control := c.accounts.controls[f.target]
	control.Fail(simulator.Fault{Op: providers.OpUpload, Kind: simulator.Cut, Applied: true, Chance: 0.5})
	lasting()
	control.Clear()
}
