package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cmd/cas/internal/settings"
	"casgate/gateway/client"
)

// TestScripts runs the scripts in testdata. In them `cas` is this test binary,
// which TestMain lets be cas, and an embedded gateway is one command away.
func TestScripts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "cas")); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("CAS_DATA_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("CAS_CONFIG", filepath.Join(env.WorkDir, "config.json"))
			// A port of the system's choice would go to another test once the gateway is stopped.
			env.Setenv("CAS_LISTEN", freeAddress(t))
			env.Setenv("CAS_ADMIN_LISTEN", "")
			env.Setenv("GOGC", "400")                 // hundreds of short commands
			env.Setenv("NONE", cas.Digest{}.String()) // no blob has it
			env.Values[gatewayKey{}] = &scriptGateway{cas: filepath.Join(bin, "cas")}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"gateway":  cmdGateway,
			"exits":    cmdExits,
			"noise":    cmdNoise,
			"first":    cmdFirst,
			"digest":   cmdDigest,
			"capture":  cmdCapture,
			"corrupt":  cmdCorrupt,
			"recorded": cmdRecorded,
			"field":    cmdField,
		},
	})
}

// gatewayDeadline bounds how long a gateway may take to start, and to stop.
const gatewayDeadline = castest.WaitLimit

// scriptGateway is the gateway of one script.
type scriptGateway struct {
	cas     string // the program
	process *exec.Cmd
	log     strings.Builder
}

type gatewayKey struct{} // in a script's values

// cmdGateway is `gateway start [FLAG…]` and `gateway stop`. It starts an embedded
// gateway on the script's data folder and points CAS_URL to it; what still runs at
// the end of the script is stopped there.
func cmdGateway(ts *testscript.TestScript, neg bool, args []string) {
	g := ts.Value(gatewayKey{}).(*scriptGateway)
	switch {
	case !neg && len(args) >= 1 && args[0] == "start" && g.process == nil:
		g.start(ts, args[1:])
	case !neg && len(args) == 1 && args[0] == "stop" && g.process != nil:
		g.stop(ts)
	default:
		ts.Fatalf("usage: gateway start [FLAG…] and gateway stop, in turn")
	}
}

// passedOn are the variables of a script that its gateway gets.
var passedOn = []string{
	"HOME", "PATH", "TMPDIR", "CAS_DATA_DIR", "CAS_LISTEN", "CAS_ADMIN_LISTEN",
	"CAS_HOT_BYTES", "CAS_VERIFIED_FOR", "CAS_SEEN_FOR", "CAS_READ_WITHOUT_INDEX", "CAS_MAX_BLOB_SIZE", "CAS_KIMI_API_KEY", "CAS_KIMI_BASE_URL",
}

func (g *scriptGateway) start(ts *testscript.TestScript, flags []string) {
	g.process = exec.Command(g.cas, append([]string{"serve"}, flags...)...)
	for _, name := range passedOn {
		if value := ts.Getenv(name); value != "" || name == "CAS_ADMIN_LISTEN" {
			g.process.Env = append(g.process.Env, name+"="+value)
		}
	}
	g.process.Stderr = &g.log
	ts.Check(g.process.Start())
	ts.Defer(func() {
		if g.process != nil {
			g.stop(ts)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), gatewayDeadline)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if address, err := os.ReadFile(filepath.Join(ts.Getenv("CAS_DATA_DIR"), settings.ListenFile)); err == nil {
			url := "http://" + strings.TrimSpace(string(address))
			if isReady(ctx, url) {
				ts.Setenv("CAS_URL", url)
				return
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			g.stop(ts)
			ts.Fatalf("the gateway was not ready within %v; its log:\n%s", gatewayDeadline, g.log.String())
		}
	}
}

func isReady(ctx context.Context, url string) bool {
	c, err := client.New(url, client.Options{})
	if err != nil {
		return false // the address is half written
	}
	defer c.Close()
	return c.Ready(ctx) == nil
}

func (g *scriptGateway) stop(ts *testscript.TestScript) {
	process := g.process
	g.process = nil
	ts.Check(process.Process.Signal(syscall.SIGTERM))
	kill := time.AfterFunc(gatewayDeadline, func() { _ = process.Process.Kill() }) // the wait tells of it
	defer kill.Stop()
	if err := process.Wait(); err != nil {
		ts.Fatalf("the gateway: %v; its log:\n%s", err, g.log.String())
	}
}

// cmdExits is `exits CODE COMMAND…`: the command must exit with this code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cmdNoise is `noise FILE SIZE`: it writes bytes that depend on the size alone.
func cmdNoise(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: noise FILE SIZE")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)}).Read(content) // never fails
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o666))
}

// cmdFirst is `first N FROM TO`: it copies the first N bytes of a file.
func cmdFirst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: first N FROM TO")
	}
	n, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	from, err := os.Open(ts.MkAbs(args[1]))
	ts.Check(err)
	defer from.Close()
	content, err := io.ReadAll(io.LimitReader(from, n))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), content, 0o666))
}

// cmdDigest is `digest VARIABLE FILE`: it sets the variable to the file's digest,
// VARIABLE_SHORT to the short form in the names of partial files, and VARIABLE_HEX to its hex
// digits.
func cmdDigest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: digest VARIABLE FILE")
	}
	content, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	d := cas.DigestOf(content)
	ts.Setenv(args[0], d.String())
	ts.Setenv(args[0]+"_SHORT", d.Short())
	ts.Setenv(args[0]+"_HEX", d.Hex())
}

// cmdCorrupt is `corrupt DIGEST`: it changes the last byte of the blob's object in
// the gateway's data folder.
func cmdCorrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: corrupt DIGEST")
	}
	d, err := cas.ParseDigest(args[0])
	ts.Check(err)
	path := filepath.Join(ts.Getenv("CAS_DATA_DIR"), settings.ObjectsDir, filepath.FromSlash(cas.ObjectRef{Digest: d}.Key()))
	content, err := os.ReadFile(path)
	ts.Check(err)
	content[len(content)-1] ^= 1
	ts.Check(os.Chmod(path, 0o600))
	ts.Check(os.WriteFile(path, content, 0o600))
}

// cmdCapture is `capture VARIABLE`: the variable becomes what the last command
// printed.
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: capture VARIABLE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}
