package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// services names the programs of Postgres and MinIO.
type services struct {
	postgresBin string // a folder
	minio       string
}

func servicesFromEnvironment() (services, error) {
	s := services{postgresBin: os.Getenv("CAS_TEST_POSTGRES_BIN"), minio: os.Getenv("CAS_TEST_MINIO_BINARY")}
	if s.postgresBin == "" || s.minio == "" {
		return s, errors.New("CAS_TEST_POSTGRES_BIN and CAS_TEST_MINIO_BINARY must name the programs: run `make chaos`")
	}
	return s, nil
}

// server is Postgres or MinIO: it is killed and started again on the same port.
type server struct {
	name    string
	port    int
	program program
	disk    *serverDisk // nil: it shares the campaign's
	answers func(context.Context) error
	process *process

	// breaking lets one fault at a time work on the process.
	breaking sync.Mutex
}

// restart kills the server, and starts it again after a while.
func (s *server) restart(ctx context.Context, lasting func()) error {
	s.breaking.Lock()
	defer s.breaking.Unlock()
	s.process.kill()
	lasting()
	return s.start(ctx)
}

// pause stops the server for a while.
func (s *server) pause(lasting func()) {
	s.breaking.Lock()
	defer s.breaking.Unlock()
	s.process.pause(lasting)
}

// start starts the server and waits until it answers. A server that ends at once is started
// again: the children of a killed Postgres may still hold its shared memory.
func (s *server) start(ctx context.Context) error {
	for deadline := time.Now().Add(startLimit); ; {
		var err error
		if s.process, err = s.program.start(); err != nil {
			return err
		}
		err = s.process.until(ctx, s.answers)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || !errors.Is(err, errEnded) || time.Now().After(deadline):
			return fmt.Errorf("%s: %w; the end of its log: %s", s.name, err, tail(s.program.log, 1000))
		}
		<-time.After(restartDelay)
	}
}

// newPostgres makes a database cluster. It doesn't fsync: processes are killed, but the
// machine keeps its power.
func newPostgres(ctx context.Context, bin, dir string, time clock, makeDisk diskMaker) (*server, error) {
	home := filepath.Join(dir, "postgres")
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	credential, err := unprivileged(home)
	if err != nil {
		return nil, err
	}
	disk, err := makeDisk(ctx, home, credential)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(home, diskFolder, "data")
	initdb := disk.within(program{
		path: filepath.Join(bin, "initdb"), dir: home, log: filepath.Join(dir, "initdb.log"), credential: credential,
		env:  []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")},
		args: []string{filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"},
	})
	if err := initdb.run(ctx); err != nil {
		disk.close()
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	postgres := filepath.Join(bin, "postgres")
	return &server{
		name: "Postgres", port: port, disk: disk,
		program: disk.within(program{
			path: postgres, dir: home, log: filepath.Join(dir, "postgres.log"), credential: credential,
			env: append(time.environment(), "LC_ALL=C", "PATH="+os.Getenv("PATH")),
			args: []string{
				"postgres", "-D", data, "-p", strconv.Itoa(port), "-k", "", "-c", "listen_addresses=127.0.0.1",
				"-c", "max_connections=200", "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "log_line_prefix=%m [%p] ",
				"-c", "dynamic_shared_memory_type=mmap", // in the data folder: what a killed server leaves goes with it
				"-c", "min_wal_size=32MB", "-c", "max_wal_size=64MB", // the disk is small
			},
		}),
		answers: func(ctx context.Context) error { return pingPostgres(ctx, postgresURL(port)) },
	}, nil
}

func postgresURL(port int) string {
	return fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", address(port))
}

// unprivileged returns the user that runs Postgres, which refuses to run as root, and
// gives it the folder. Nil means the campaign's own user.
func unprivileged(folder string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(folder, int(uid), int(gid))
}

// The root credentials of MinIO.
const (
	accessKey = "chaos"
	secretKey = "chaos-secret"
	bucket    = "chaos"
)

func newMinIO(ctx context.Context, binary, dir string, makeDisk diskMaker) (*server, error) {
	home := filepath.Join(dir, "minio")
	if err := os.MkdirAll(filepath.Join(home, "certs"), 0o700); err != nil {
		return nil, err
	}
	disk, err := makeDisk(ctx, home, nil)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	ready := "http://" + address(port) + "/minio/health/ready"
	return &server{
		name: "MinIO", port: port, disk: disk,
		program: disk.within(program{
			path: binary, dir: home, log: filepath.Join(dir, "minio.log"),
			env:  []string{"HOME=" + home, "MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off"},
			args: []string{"minio", "server", "--quiet", "--address", address(port), "--certs-dir", filepath.Join(home, "certs"), filepath.Join(home, diskFolder, "data")},
		}),
		answers: func(ctx context.Context) error { return answersOK(ctx, ready) },
	}, nil
}

// answersOK returns nil if a GET of the URL is answered 200.
func answersOK(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := probing.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is answered %d", url, response.StatusCode)
	}
	return nil
}

// probing makes a connection for each request, so that no request meets a connection of
// a dead process.
var probing = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}}
