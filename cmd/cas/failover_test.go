package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/castest"
)

// postgresNode is a Postgres of a test's own.
type postgresNode struct {
	t         *testing.T
	bin, data string
	address   string
	cmd       *exec.Cmd
	ended     chan struct{}
}

// postgresUser returns who runs Postgres, which refuses to run as root; nil: this user.
func postgresUser(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			t.Fatal(err)
		}
	}
	uid, errUID := strconv.Atoi(who.Uid)
	gid, errGID := strconv.Atoi(who.Gid)
	if errUID != nil || errGID != nil {
		t.Fatal(errUID, errGID)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// postgresFolder returns a folder in which Postgres may write.
func postgresFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "casgate-pg-") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if who := postgresUser(t); who != nil {
		if err := os.Chown(folder, int(who.Uid), int(who.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// tool runs a program of Postgres to its end.
func (n *postgresNode) tool(name string, args ...string) {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), filepath.Join(n.bin, name), args...)
	cmd.Dir = filepath.Dir(n.data)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: postgresUser(n.t)}
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// start starts the server and waits until it answers.
func (n *postgresNode) start() {
	n.t.Helper()
	_, port, _ := net.SplitHostPort(n.address)
	var log bytes.Buffer
	n.cmd = exec.Command(filepath.Join(n.bin, "postgres"), "-D", n.data, "-p", port, "-k", filepath.Dir(n.data), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
		"-c", "dynamic_shared_memory_type=mmap") // a killed server then leaves nothing outside of its folder
	n.cmd.Dir, n.cmd.Stdout, n.cmd.Stderr = filepath.Dir(n.data), &log, &log
	n.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: postgresUser(n.t)}
	castest.EndWithParent(n.cmd, syscall.SIGQUIT)
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.ended = make(chan struct{})
	go func() { defer close(n.ended); _ = n.cmd.Wait() }() // its log says why it ended
	n.t.Cleanup(n.kill)
	castest.Eventually(n.t, "Postgres answers", func() bool {
		select {
		case <-n.ended:
			n.t.Fatalf("Postgres ended: %s", log.String())
		default:
		}
		c, err := pgx.Connect(n.t.Context(), n.url())
		if err != nil {
			return false
		}
		return c.Close(n.t.Context()) == nil
	})
}

// kill ends the server at once, without a word to its clients or its standby.
func (n *postgresNode) kill() {
	_ = n.cmd.Process.Signal(syscall.SIGQUIT) // it may be gone already
	<-n.ended
}

func (n *postgresNode) url() string {
	return "postgres://postgres@" + n.address + "/postgres?sslmode=disable"
}

// value returns a value that the server computes.
func (n *postgresNode) value(statement string) string {
	n.t.Helper()
	c, err := pgx.Connect(n.t.Context(), n.url())
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close(n.t.Context())
	var value string
	if err := c.QueryRow(n.t.Context(), statement).Scan(&value); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		n.t.Fatalf("%s: %v", statement, err)
	}
	return value
}

func (n *postgresNode) exec(statements ...string) {
	n.t.Helper()
	c, err := pgx.Connect(n.t.Context(), n.url())
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close(n.t.Context())
	for _, statement := range statements {
		if _, err := c.Exec(n.t.Context(), statement); err != nil {
			n.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// A gateway whose database's URL names a primary and its standby goes on when the primary is
// killed and the standby promoted, without a restart, and has every upload that it had
// acknowledged: the standby is a synchronous one.
func TestFailoverOfPostgres(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("in the thorough tests only")
	}
	t.Parallel()
	bin, folder := castest.Service(t, "CAS_TEST_POSTGRES_BIN"), postgresFolder(t)
	primary := &postgresNode{t: t, bin: bin, data: filepath.Join(folder, "primary"), address: freeAddress(t)}
	primary.tool("initdb", "-D", primary.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	primary.start()
	standby := &postgresNode{t: t, bin: bin, data: filepath.Join(folder, "standby"), address: freeAddress(t)}
	host, port, _ := net.SplitHostPort(primary.address)
	primary.tool("pg_basebackup", "-h", host, "-p", port, "-U", "postgres", "-D", standby.data, "-R", "-X", "stream", "-C", "-S", "standby", "--checkpoint=fast", "--no-sync")
	standby.start()
	primary.exec("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
	castest.Eventually(t, "the standby is synchronous", func() bool {
		return primary.value("select sync_state from pg_stat_replication") == "sync"
	})

	env := append(embeddedEnv(t), "CAS_DATABASE_URL=postgres://postgres@"+primary.address+","+standby.address+"/postgres?sslmode=disable")
	if out, err := casCommand(t, env, "migrate", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := serveProcess(t, casCommand(t, env, "serve"))
	acknowledged := uploadsAcross(t, p, func() {
		primary.kill()
		standby.tool("pg_ctl", "promote", "-D", standby.data, "-w")
	})
	t.Logf("%d uploads were acknowledged", len(acknowledged))
	if status, _, err := p.request(http.MethodGet, "/readyz", nil); err != nil || status != http.StatusOK {
		t.Errorf("after the failover: %d, %v", status, err)
	}
	rows, err := strconv.Atoi(standby.value("select count(*)::text from blobs where state = 'live'"))
	if err != nil || rows < len(acknowledged) {
		t.Errorf("the new primary has %d blobs of %d, %v", rows, len(acknowledged), err)
	}
}

// uploadsAcross uploads small blobs, breaks something after some, and goes on until uploads
// work again. Then it reads all that were acknowledged. It returns them.
func uploadsAcross(t *testing.T, p *process, breakIt func()) map[cas.Digest][]byte {
	t.Helper()
	var mu sync.Mutex
	acknowledged := make(map[cas.Digest][]byte)
	upload := func(i int) bool {
		content := []byte(fmt.Sprintf("content %d %s", i, strings.Repeat("x", i%1000)))
		d := cas.DigestOf(content)
		status, body, err := p.request(http.MethodPut, "/v1/blobs/"+d.String(), bytes.NewReader(content))
		if err != nil {
			t.Errorf("upload %d: the gateway broke off: %v", i, err)
			return false
		}
		switch {
		case status/100 == 2:
			mu.Lock()
			acknowledged[d] = content
			mu.Unlock()
			return true
		case status != http.StatusServiceUnavailable:
			t.Errorf("upload %d: %d %s", i, status, body)
		}
		return false
	}
	next, stop := 0, make(chan struct{})
	for ; next < 50; next++ {
		if !upload(next) {
			t.Fatal("an upload failed before anything was broken")
		}
	}
	var uploads sync.WaitGroup
	uploads.Go(func() { // some are under way when it breaks
		for i := 1_000_000; ; i++ {
			select {
			case <-stop:
				return
			default:
				upload(i)
			}
		}
	})
	breakIt()
	broken := time.Now()
	castest.Eventually(t, "uploads work again", func() bool { next++; return upload(next) })
	t.Logf("uploads worked %v after that", time.Since(broken).Round(time.Millisecond))
	close(stop)
	uploads.Wait()
	for range 50 {
		next++
		if !upload(next) {
			t.Error("an upload failed after they had worked again")
		}
	}
	for d, content := range acknowledged {
		status, body, err := p.request(http.MethodGet, "/v1/blobs/"+d.String(), nil)
		if err != nil || status != http.StatusOK || !bytes.Equal(body, content) {
			t.Errorf("%s, which was acknowledged: %d, %v", d, status, err)
		}
	}
	return acknowledged
}
