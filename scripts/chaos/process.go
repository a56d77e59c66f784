package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startLimit bounds how long a server may take until it answers.
const startLimit = 90 * time.Second

// process is a child process. It dies with the campaign.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// program says how to start a process.
type program struct {
	path       string
	args       []string // with argv[0]
	env        []string
	dir        string
	log        string // gets standard output and error
	credential *syscall.Credential
}

func (p program) start() (*process, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := &exec.Cmd{
		Path: p.path, Args: p.args, Env: p.env, Dir: p.dir, Stdout: log, Stderr: log,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: p.credential},
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.args[0], err)
	}
	started := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the exit code is in ProcessState
		close(started.ended)
	}()
	return started, nil
}

// run runs the program to its end.
func (p program) run(ctx context.Context) error {
	started, err := p.start()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		started.kill()
		return ctx.Err()
	case <-started.ended:
	}
	if state := started.cmd.ProcessState; !state.Success() {
		return fmt.Errorf("%s: %v; the end of its log: %s", p.args[0], state, tail(p.log, 1000))
	}
	return nil
}

// signal sends a signal to the process and its descendants, which may be in groups of
// their own. It doesn't matter if some of them are gone already.
func (p *process) signal(s syscall.Signal) {
	for _, pid := range descendants(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, s)
	}
}

// kill ends the process and its descendants at once, and waits until it is gone. It stops
// the process first, so that it starts no further ones.
func (p *process) kill() {
	select {
	case <-p.ended:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGSTOP) // it may have ended meanwhile
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// pause stops the process for a while.
func (p *process) pause(lasting func()) {
	p.signal(syscall.SIGSTOP)
	lasting()
	p.signal(syscall.SIGCONT)
}

// descendants returns a process and all below it.
func descendants(pid int) []int {
	children := map[int][]int{}
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, name := range entries {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), ") ") // after "pid (name) ", which may hold spaces
		fields := strings.Fields(after)
		if len(fields) < 2 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		children[parent] = append(children[parent], child)
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// errEnded: a process ended before it answered.
var errEnded = errors.New("it ended by itself")

// until waits until the process answers.
func (p *process) until(ctx context.Context, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePort returns a free port below the range of outgoing connections, so that no
// connection takes it while its server is down.
func freePort() (int, error) {
	claiming.Lock()
	defer claiming.Unlock()
	for port := 10000 + os.Getpid()%10000; port < 32000; port++ {
		ln, err := net.Listen("tcp", address(port))
		if err == nil {
			ln.Close()
			if claimed[port] {
				continue
			}
			claimed[port] = true
			return port, nil
		}
	}
	return 0, errors.New("no port is free")
}

// claimed has the ports that freePort has returned.
var (
	claiming sync.Mutex
	claimed  = map[int]bool{}
)

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// tail returns the end of a log.
func tail(name string, most int) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
