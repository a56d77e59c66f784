package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// gateway is one of the gateways: a slot with fixed ports, in which one process after
// another serves.
type gateway struct {
	number  int
	url     string
	admin   string
	program program

	lives atomic.Int64 // how many processes have been started

	mu      sync.Mutex
	process *process
	paused  bool
	stopped bool // the campaign ends: don't start it again

	unexpected atomic.Int64 // how often it ended by itself after it had served
}

// newGateway prepares a gateway.
func newGateway(number int, binary, dir string, settings []string) (*gateway, error) {
	data := filepath.Join(dir, fmt.Sprintf("gateway-%d", number))
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	admin, err := freePort()
	if err != nil {
		return nil, err
	}
	return &gateway{
		number: number, url: "http://" + address(port), admin: "http://" + address(admin),
		program: program{
			path: binary, args: []string{"cas", "serve", "--create-bucket"}, dir: data, log: data + ".log",
			env: gatewayEnvironment(append([]string{
				"CAS_DATA_DIR=" + data, "CAS_LISTEN=" + address(port), "CAS_ADMIN_LISTEN=" + address(admin),
			}, settings...)),
		},
	}, nil
}

// gatewayEnvironment returns the campaign's environment with no settings of a gateway but
// these.
func gatewayEnvironment(settings []string) []string {
	env := []string{"CAS_AUTH=none", "CAS_LOG_FORMAT=json"}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "CAS_") {
			env = append(env, variable)
		}
	}
	return append(env, settings...)
}

// keepRunning starts the gateway, and starts it again whenever it has ended, until
// stop. Where it can't start, because Postgres or MinIO is down, it tries again.
func (g *gateway) keepRunning(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.stopped {
			g.mu.Unlock()
			return nil
		}
		p, err := g.program.start()
		if err != nil {
			g.mu.Unlock()
			return err
		}
		g.process, g.paused = p, false
		g.lives.Add(1)
		g.mu.Unlock()
		served := g.serves(ctx, p)
		<-p.ended
		if code := p.cmd.ProcessState.ExitCode(); served && code >= 0 && !g.isStopped() { // below 0: by a signal
			g.unexpected.Add(1)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartDelay):
		}
	}
}

// restartDelay keeps a gateway that can't start from taking all of the processor.
const restartDelay = 100 * time.Millisecond

// serves waits until the process serves or ends.
func (g *gateway) serves(ctx context.Context, p *process) bool {
	return p.until(ctx, func(ctx context.Context) error { return answersOK(ctx, g.url+"/healthz") }) == nil
}

func (g *gateway) isStopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stopped
}

// kill kills the present process. keepRunning starts another one.
func (g *gateway) kill() {
	g.mu.Lock()
	p := g.process
	g.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

// stop ends the gateway and does not start it again.
func (g *gateway) stop() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.kill()
}

// ready returns nil if the gateway is ready to serve.
func (g *gateway) ready(ctx context.Context) error { return answersOK(ctx, g.url+"/readyz") }

// runCas runs a command of cas to its end, and returns its standard output.
func runCas(ctx context.Context, binary string, settings []string, args ...string) (string, error) {
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, binary)
	cmd.Args = append([]string{"cas"}, args...)
	cmd.Env = gatewayEnvironment(settings)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("cas %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}
