package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// The size of a campaign.
const (
	gatewayCount = 3
	linkCount    = gatewayCount*linksOfGateway + 1
	clientCount  = 8
	blobCount    = 14 // of a round
	roundLength  = 20 * time.Second
	settling     = staleness + time.Second // after a round
)

// config says what a campaign does, and with which programs.
type config struct {
	seed     uint64
	time     time.Duration // how long faults are made
	dir      string
	gateway  string // the program
	services services
	progress io.Writer
	settings []string // more settings of the gateways
	focus    *focus   // optional; in place of the time
}

// campaign is a running campaign.
type campaign struct {
	config   config
	history  *history
	clock    clock // of Postgres
	postgres *server
	minio    *server
	accounts *accounts
	backfill *backfill
	gateways []*gateway
	network  network
	links    []*link  // the one to the providers, and linksOfGateway for each gateway
	settings []string // of each gateway and command
	canMount bool     // gateways have disks of their own

	mu       sync.Mutex
	findings []finding
	figures  map[string]int
	kept     []expectation
	names    map[string]bool // of all files that may have been made
}

// expectation is how a blob or a file was left.
type expectation struct {
	subject string
	read    func(c *client, g *gateway) answer
	outcome outcome // present or absent
}

// named notes the name of a file that may have been made.
func (c *campaign) named(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[name] = true
}

// runCampaign runs a campaign to its end. An error means that it could not be run.
func runCampaign(ctx context.Context, o config) (*report, error) {
	c := &campaign{config: o, history: newHistory(), figures: map[string]int{}, names: map[string]bool{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.tearDown()
	if err := c.setUp(ctx); err != nil {
		return nil, err
	}
	if err := c.startGateways(ctx); err != nil {
		return nil, err
	}
	atStart, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if o.focus != nil {
		err := c.focusedRounds(ctx)
		return c.report(time.Since(begin)), err
	}
	if err := c.firstRequests(ctx); err != nil {
		return nil, err
	}
	if err := c.prepareBackfill(ctx); err != nil {
		return nil, err
	}
	for round := 0; ctx.Err() == nil; round++ {
		left := c.config.time - c.faultTime(round)
		if left <= 0 {
			break
		}
		if err := c.round(ctx, round, min(left, roundLength)); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.checkAll(ctx, atStart); err != nil {
		return nil, err
	}
	return c.report(time.Since(begin)), nil
}

// faultTime is how long faults were made in the rounds before this one.
func (c *campaign) faultTime(round int) time.Duration {
	return time.Duration(round) * roundLength
}

// setUp starts Postgres and MinIO, and prepares the gateways.
func (c *campaign) setUp(ctx context.Context) (err error) {
	if c.clock, err = newClock(c.config.dir); err != nil {
		return err
	}
	if c.clock.library == "" && c.config.progress != nil {
		fmt.Fprintln(c.config.progress, "no clock is stepped: libfaketime is not installed")
	}
	err = canMount(ctx, c.config.dir, filepath.Join(c.config.dir, "mount.log"))
	if c.canMount = err == nil; !c.canMount && c.config.progress != nil {
		fmt.Fprintf(c.config.progress, "no disk is filled: %v\n", err)
	}
	if c.postgres, err = newPostgres(ctx, c.config.services.postgresBin, c.config.dir, c.clock, c.makeDisk); err != nil {
		return err
	}
	if c.minio, err = newMinIO(ctx, c.config.services.minio, c.config.dir, c.makeDisk); err != nil {
		return err
	}
	for _, s := range []*server{c.postgres, c.minio} {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	if c.accounts, err = newAccounts(); err != nil {
		return err
	}
	c.network = newNetwork()
	toProviders, err := c.network.link("all gateways to the providers", c.accounts.port)
	if err != nil {
		return err
	}
	c.links = append(c.links, toProviders)
	c.settings = append([]string{
		"CAS_S3_BUCKET=" + bucket,
		"CAS_S3_ACCESS_KEY=" + accessKey, "CAS_S3_SECRET_KEY=" + secretKey,
		"CAS_GC_GRACE=1s", "CAS_GC_INTERVAL=200ms", "CAS_GC_MAX_SHARE=100", "CAS_TEST_LEASE=1s", "CAS_TEST_PROBE=" + probeInterval.String(),
	}, c.config.settings...)
	if c.config.focus == nil { // a scrub might repair what a broken step has lost
		c.settings = append(c.settings, "CAS_SCRUB_EVERY=5s", "CAS_SCRUB_RATE=50MiB")
	}
	if c.backfill, err = newBackfill(c.config.seed, c.config.dir); err != nil {
		return err
	}
	c.settings = append(c.settings, "CAS_SOURCE_DIR="+c.backfill.folder)
	_, err = c.command(ctx, "migrate", "up")
	return err
}

// makeDisk makes a server's disk, unless the campaign has a focus, or can't mount.
func (c *campaign) makeDisk(ctx context.Context, home string, owner *syscall.Credential) (*serverDisk, error) {
	folder := filepath.Join(home, diskFolder)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	if owner != nil {
		if err := os.Chown(folder, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	if c.config.focus != nil || !c.canMount {
		return nil, nil
	}
	disk, err := newServerDisk(ctx, folder, serverDiskSize(c.config.time), owner)
	if err != nil && ctx.Err() == nil {
		if c.config.progress != nil {
			fmt.Fprintf(c.config.progress, "the disk of %s is not filled: it can't have one of its own: %v\n", filepath.Base(home), err)
		}
		return nil, nil
	}
	return disk, err
}

// command runs a command of cas on the servers themselves, and returns its output.
func (c *campaign) command(ctx context.Context, args ...string) (string, error) {
	settings := append(serverSettings(c.postgres.port, c.minio.port, c.links[0].port), "CAS_DATA_DIR="+filepath.Join(c.config.dir, "commands"))
	return runCas(ctx, c.config.gateway, append(settings, c.settings...), args...)
}

// serverSettings says at which ports the servers are.
func serverSettings(postgres, minio, providers int) []string {
	return append(providerSettings(providers), "CAS_DATABASE_URL="+postgresURL(postgres), "CAS_S3_ENDPOINT=http://"+address(minio))
}

// linksOfGateway is how many links a gateway has: to Postgres and MinIO. All gateways share
// the one to the providers, since a provider's host and port are part of its account.
const linksOfGateway = 2

// linkGateway makes the links of a gateway, and returns its settings.
func (c *campaign) linkGateway(number int) ([]string, error) {
	var ports []int
	for _, s := range []*server{c.postgres, c.minio} {
		l, err := c.network.link(fmt.Sprintf("gateway %d to %s", number, s.name), s.port)
		if err != nil {
			return nil, err
		}
		c.links, ports = append(c.links, l), append(ports, l.port)
	}
	return append(serverSettings(ports[0], ports[1], c.links[0].port), c.settings...), nil
}

func (c *campaign) startGateways(ctx context.Context) error {
	for number := range gatewayCount {
		settings, err := c.linkGateway(number)
		if err != nil {
			return err
		}
		g, err := newGateway(number, c.config.gateway, c.config.dir, settings)
		if err != nil {
			return err
		}
		if c.canMount {
			g.program = g.program.onOwnDisk(g.program.dir)
		}
		c.gateways = append(c.gateways, g)
		go func() {
			if err := g.keepRunning(ctx); err != nil {
				c.find(finding{promise: "campaign", text: err.Error()})
			}
		}()
		// The first one makes the bucket.
		if err := c.waitReady(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// waitReady waits until a gateway is ready.
func (c *campaign) waitReady(ctx context.Context, g *gateway) error {
	limit, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := g.ready(limit)
		if err == nil {
			return nil
		}
		select {
		case <-limit.Done():
			return fmt.Errorf("gateway %d does not get ready: %w; the end of its log: %s", g.number, err, tail(g.program.log, 2000))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *campaign) tearDown() {
	if c.accounts != nil {
		c.accounts.close()
	}
	for _, g := range c.gateways {
		g.stop()
	}
	for _, s := range []*server{c.postgres, c.minio} {
		if s != nil && s.process != nil {
			s.process.kill()
		}
		if s != nil {
			s.disk.close()
		}
	}
}

// round lets clients work on new blobs while faults are made. Then it waits until all is
// quiet, and reads each blob and file once more through each gateway.
func (c *campaign) round(ctx context.Context, number int, length time.Duration) error {
	r := c.newRound(number)
	working, stop := context.WithTimeout(ctx, length)
	defer stop()
	var clients sync.WaitGroup
	for number := range clientCount {
		client := c.newClient(number, r)
		clients.Go(func() { client.work(working, requests) })
	}
	clients.Go(func() {
		if err := c.backfill.keepRunning(working); err != nil {
			c.find(finding{promise: "campaign", text: err.Error()})
		}
	})
	c.breakThings(ctx, working, slices.DeleteFunc(schedule(habits, c.config.seed, number, length), c.isImpossible))
	clients.Wait()
	if err := c.calm(ctx, settling); err != nil {
		return err
	}
	c.lastReads(ctx, r)
	if c.config.progress != nil {
		fmt.Fprintf(c.config.progress, "round %d: %d kills, %d findings\n", number+1, c.figure(string(killGateway)), c.findingCount())
	}
	return ctx.Err()
}

// calm waits until all gateways are ready, and then for a while.
func (c *campaign) calm(ctx context.Context, settling time.Duration) error {
	for _, g := range c.gateways {
		if err := c.waitReady(ctx, g); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settling):
		return nil
	}
}

// lastReads reads each blob and file through each gateway, and remembers how it was left.
func (c *campaign) lastReads(ctx context.Context, r *round) {
	var all []expectation
	for _, what := range r.contents {
		all = append(all, expectation{subject: what.String(), read: func(c *client, g *gateway) answer { return c.get(g, what) }})
	}
	for _, f := range r.files.list() {
		all = append(all, expectation{subject: f.id, read: func(c *client, g *gateway) answer { return c.getFile(g, f) }})
	}
	reader := c.newClient(clientCount, r)
	defer reader.http.CloseIdleConnections()
	for _, one := range all {
		for _, g := range c.gateways {
			one.outcome = c.conclusiveRead(ctx, g, one.subject, func() answer { return one.read(reader, g) })
		}
		if one.outcome != "" {
			c.kept = append(c.kept, one)
		}
	}
}

// firstRequests stores and reads a blob before anything is broken, so that each campaign
// has shown a little.
func (c *campaign) firstRequests(ctx context.Context) error {
	r := c.newRound(0)
	first := c.newClient(clientCount, r)
	defer first.http.CloseIdleConnections()
	for deadline := time.Now().Add(readLimit); ; {
		a := first.upload(c.survivor(), r.contents[0])
		if a.isDone() {
			break
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("the first upload is answered %v", a)
		}
	}
	what := r.contents[0]
	got := c.conclusiveRead(ctx, c.survivor(), what.String(), func() answer { return first.get(c.survivor(), what) })
	if got != present {
		c.find(finding{"readable", "the first blob is not there", what.String()})
	}
	return nil
}

// readLimit bounds the attempts to read while nothing is broken.
const readLimit = time.Minute

// conclusiveRead reads until the answer tells whether the subject is there.
func (c *campaign) conclusiveRead(ctx context.Context, g *gateway, subject string, read func() answer) outcome {
	for deadline := time.Now().Add(readLimit); ; {
		a := read()
		switch {
		case a.err == nil && a.status == 200:
			return present
		case a.err == nil && a.status == 404:
			return absent
		case a.err == nil && a.status == http.StatusBadGateway:
			c.find(finding{"whole", fmt.Sprintf("gateway %d answers %v %s", g.number, a, a.body), subject})
			return ""
		case ctx.Err() != nil:
			return ""
		case time.Now().After(deadline):
			c.find(finding{"readable", fmt.Sprintf("gateway %d answers %v although nothing is broken", g.number, a), subject})
			return ""
		}
		<-time.After(100 * time.Millisecond)
	}
}
