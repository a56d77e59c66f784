package s3test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store"
)

// Server is a MinIO server for one test, with its data in a folder that the test may
// damage.
type Server struct {
	s3store.Options        // of an empty bucket
	Folder          string // holds the data

	start   func() *exec.Cmd
	process *exec.Cmd
}

// NewServer starts CAS_TEST_MINIO_BINARY with one drive and ends it with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	program := castest.Service(t, "CAS_TEST_MINIO_BINARY")
	folder, address := t.TempDir(), freeAddress(t)
	s := &Server{
		Options: s3store.Options{Endpoint: "http://" + address, AccessKey: "tester", SecretKey: "tester-secret", Bucket: "test-damage"},
		Folder:  filepath.Join(folder, "data"),
		start: func() *exec.Cmd {
			server := exec.Command(program, "server", "--quiet", "--address", address, filepath.Join(folder, "data"))
			server.Env = []string{"HOME=" + folder, "MINIO_ROOT_USER=tester", "MINIO_ROOT_PASSWORD=tester-secret", "MINIO_BROWSER=off", "MINIO_UPDATE=off"}
			castest.EndWithParent(server, syscall.SIGKILL)
			return server
		},
	}
	s.run(t)
	t.Cleanup(func() { s.kill(t) })
	castest.Eventually(t, "MinIO is ready", func() bool { return isReady(s.Endpoint) })
	store, err := s3store.New(s.Options)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.CreateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Restart kills the server and starts it again. It doesn't wait until the server is ready.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.kill(t)
	s.run(t)
}

func (s *Server) run(t testing.TB) {
	t.Helper()
	s.process = s.start()
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) kill(t testing.TB) {
	if err := s.process.Process.Kill(); err != nil {
		t.Errorf("end MinIO: %v", err)
	}
	_ = s.process.Wait() // it was killed
}

// Damage replaces the bytes of the file on disk that holds an object's bytes. MinIO keeps
// those of an object up to about 100 KiB in xl.meta.
func (s *Server) Damage(t testing.TB, ref cas.ObjectRef, change func([]byte) []byte) {
	t.Helper()
	name := filepath.Join(s.Folder, s.Bucket, filepath.FromSlash(ref.Key()))
	if parts, err := filepath.Glob(filepath.Join(name, "*", "part.1")); err == nil && len(parts) == 1 {
		name = parts[0]
	} else {
		name = filepath.Join(name, "xl.meta")
	}
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(old), 0o600); err != nil {
		t.Fatal(err)
	}
}

func isReady(endpoint string) bool {
	response, err := http.Get(endpoint + "/minio/health/ready")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// freeAddress returns an address on loopback at which nothing listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
