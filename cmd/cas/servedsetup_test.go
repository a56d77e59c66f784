package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
)

// The steps of docs/deployment.md lead from nothing to a served set-up.
func TestServedSetUp(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("in the thorough tests only")
	}
	t.Parallel()
	store := s3test.NewServer(t)
	folder := postgresFolder(t)
	database := &postgresNode{t: t, bin: castest.Service(t, "CAS_TEST_POSTGRES_BIN"), data: filepath.Join(folder, "data"), address: freeAddress(t)}
	database.tool("initdb", "-D", database.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	database.start()

	steps := documentedIn(t, "deployment.md", "sh")
	for address, ours := range map[string]string{
		"127.0.0.1:5432": database.address, "http://127.0.0.1:9000": store.Endpoint,
		"127.0.0.1:8080": freeAddress(t), "127.0.0.1:8082": freeAddress(t),
	} {
		if !strings.Contains(steps, address) {
			t.Errorf("the steps have no %s", address)
		}
		steps = strings.ReplaceAll(steps, address, ours)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	for _, err := range []error{os.Mkdir(filepath.Join(home, "bin"), 0o700), os.Symlink(self, filepath.Join(home, "bin", "cas"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", steps)
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, &said, &said
	cmd.Env = []string{
		"HOME=" + home, "PATH=" + filepath.Join(home, "bin") + ":" + database.bin + ":" + os.Getenv("PATH"), "SUPERUSER_URL=" + database.url(),
		"S3_ACCESS_KEY=" + store.AccessKey, "S3_SECRET_KEY=" + store.SecretKey, "CAS_ADMIN_LISTEN=",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // gateways that a failed step has left
	}
	for _, name := range []string{"gateway.log", "gateway2.log"} {
		log, logErr := os.ReadFile(filepath.Join(home, name))
		if logErr != nil || !bytes.Contains(log, []byte("stopped")) {
			t.Errorf("%s: %v: %s", name, logErr, log)
		}
	}
	if err != nil || !strings.Contains(said.String(), "nothing to fix") && !strings.Contains(said.String(), "all is well") {
		t.Errorf("%v: %s", err, said.String())
	}
}
