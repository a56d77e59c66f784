package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"casgate/cas/castest"
	"casgate/cas/s3store"
	"casgate/index/pgindex/pgtest"
)

// A gateway with a distributed MinIO of four processes behind haproxy goes on when one of
// them is killed, and has every upload that it had acknowledged.
func TestDistributedMinIO(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("in the thorough tests only")
	}
	t.Parallel()
	needProxies(t)
	program := castest.Service(t, "CAS_TEST_MINIO_BINARY")
	folder := t.TempDir()
	var addresses, drives, servers []string
	for i := range 4 {
		address := freeAddress(t)
		addresses = append(addresses, address)
		drives = append(drives, "http://"+address+filepath.Join(folder, fmt.Sprint(i), "data"))
		servers = append(servers, fmt.Sprintf("    server node%d %s check inter 200ms fall 1 rise 1", i, address))
	}
	nodes := make([]*exec.Cmd, len(addresses))
	for i, address := range addresses {
		nodes[i] = exec.Command(program, append([]string{"server", "--quiet", "--address", address}, drives...)...)
		// CI: the drives of this test are all on the disk of the root folder. In a container MinIO
		// takes no loopback address for its own, unless it is told so.
		nodes[i].Env = []string{"HOME=" + folder, "MINIO_ROOT_USER=tester", "MINIO_ROOT_PASSWORD=tester-secret", "MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CI_CD=1", "_MINIO_SERVER_LOCAL=" + address}
		castest.EndWithParent(nodes[i], syscall.SIGKILL)
		if err := nodes[i].Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = nodes[i].Process.Kill() // the test may have killed it
			_ = nodes[i].Wait()
		})
	}
	front := freeAddress(t)
	runHAProxy(t, front, "global\n    log stderr local0 warning\n"+documentedIn(t, "scaling.md", "haproxy")+"\nbackend minio\n    option httpchk GET /minio/health/live\n"+
		strings.Join(servers, "\n")+"\nfrontend all\n    bind "+front+"\n    default_backend minio\n")
	castest.Eventually(t, "the four nodes are ready", func() bool { return isOK("http://" + front + "/minio/health/cluster") })
	o := s3store.Options{Endpoint: "http://" + front, AccessKey: "tester", SecretKey: "tester-secret", Bucket: "distributed"}
	store, err := s3store.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	castest.Eventually(t, "the bucket is made", func() bool { return store.CreateBucket(t.Context()) == nil })
	p := serveProcess(t, casCommand(t, []string{
		"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + pgtest.New(t), "CAS_HOT_BYTES=0", // reads are to ask the store
		"CAS_S3_ENDPOINT=" + o.Endpoint, "CAS_S3_BUCKET=" + o.Bucket, "CAS_S3_ACCESS_KEY=" + o.AccessKey, "CAS_S3_SECRET_KEY=" + o.SecretKey,
	}, "serve"))
	acknowledged := uploadsAcross(t, p, func() {
		if err := nodes[2].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = nodes[2].Wait() // it was killed
	})
	t.Logf("%d uploads were acknowledged", len(acknowledged))
}

func isOK(url string) bool {
	res, err := http.Get(url)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// runHAProxy runs haproxy until the test ends.
func runHAProxy(t *testing.T, address, config string) {
	t.Helper()
	path := writeFile(t, config)
	var log bytes.Buffer
	cmd := exec.Command(sbin+"haproxy", "-db", "-f", path)
	cmd.Stdout, cmd.Stderr = &log, &log
	castest.EndWithParent(cmd, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // its log says why it ended
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
		<-ended
	})
	castest.Eventually(t, "haproxy listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("haproxy ended: %s", log.String())
		default:
		}
		res, err := http.Get("http://" + address + "/")
		if err != nil {
			return false
		}
		res.Body.Close()
		return true
	})
}
