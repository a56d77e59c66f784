package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 20 * time.Second
)

// process is a child process.
type process struct {
	name    string
	command *exec.Cmd
	log     string // path of its standard error
	ended   chan struct{}
}

// startProcess starts a program whose standard error goes to a file in dir. Its
// standard output goes to stdout, or where that is nil to the same file.
func startProcess(name, dir string, env []string, stdout *os.File, program string, args ...string) (*process, error) {
	log, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{name: name, command: exec.Command(program, args...), log: log.Name(), ended: make(chan struct{})}
	p.command.Env = env
	p.command.Stderr, p.command.Stdout = log, log
	if stdout != nil {
		p.command.Stdout = stdout
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.command.Wait() // how it ended is in its log
		close(p.ended)
	}()
	return p, nil
}

// stop ends the process and waits until it has ended.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM) // fails where it has ended
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.command.Process.Kill()
		<-p.ended
	}
}

// until polls a condition every millisecond, and gives up where the process ends,
// the time is over, or ctx is done. There is no event to wait for: a server says
// that it is ready by answering.
func (p *process) until(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended by itself; the end of its log: %s", p.name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer (%w): %w", p.name, ctx.Err(), err)
		case <-time.After(time.Millisecond):
		}
	}
}

// tail returns the end of the process's log.
func (p *process) tail() string {
	const most = 1500
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// peakMemory returns the most memory the process ever had resident, in bytes.
func (p *process) peakMemory() (int64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("/proc/PID/status has no VmHWM")
}

// freeAddress returns a free loopback address.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// onFreeAddress calls start with free addresses until it comes up: another process
// may take an address before it is bound.
func onFreeAddress[T any](start func(address string) (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		address, err := freeAddress()
		if err != nil {
			var zero T
			return zero, err
		}
		started, err := start(address)
		if err == nil || attempt == 3 || !strings.Contains(err.Error(), "in use") {
			return started, err
		}
	}
}

// runtimeSettings change how a Go program runs. The shell of a developer may have some,
// and users have none.
var runtimeSettings = []string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"}

// cleanEnvironment returns our environment without the settings of a gateway and of Go's
// runtime, and with more.
func cleanEnvironment(more ...string) []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "CAS_") && !slices.Contains(runtimeSettings, name) {
			env = append(env, variable)
		}
	}
	return append(env, more...)
}

// output runs a program and returns its standard output, without the last newline.
func output(ctx context.Context, dir string, env []string, program string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	command := exec.CommandContext(ctx, program, args...)
	command.Dir, command.Env = dir, env
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(append([]string{filepath.Base(program)}, args...), " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// answers reports, by its error, whether an HTTP server answers 200 to a GET.
func answers(ctx context.Context, address, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer c.close()
	return c.do(call{request: get(address, path), status: 200}, false)
}

// get renders a GET request, with further header lines.
func get(address, path string, lines ...string) []byte {
	return render("GET", address, path, lines...)
}

func render(method, address, path string, lines ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, address)
	for _, line := range lines {
		_, _ = io.WriteString(&b, line+"\r\n") // a buffer takes everything
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
