package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/importer"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
)

// oldFolder makes a folder with so many small files, all different.
func oldFolder(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d.txt", i)), fmt.Append(nil, "old file ", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// objectsIn counts the objects of an embedded gateway.
func objectsIn(dataDir string) (n int) {
	_ = filepath.WalkDir(filepath.Join(dataDir, settings.ObjectsDir, "sha256"), func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			n++
		}
		return nil // a folder that isn't there yet has none
	})
	return n
}

// backfillProcess runs a backfill to its end, and returns its exit code and counts.
func backfillProcess(t *testing.T, env []string, during func(*os.Process), args ...string) (code int, counts importer.BackfillCounts) {
	t.Helper()
	cmd := casCommand(t, env, append([]string{"backfill", "--json"}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if during != nil {
		during(cmd.Process)
	}
	_ = cmd.Wait() // the exit code tells
	if err := json.Unmarshal(out.Bytes(), &counts); err != nil {
		t.Errorf("it prints %q, and says %s", &out, &said)
	}
	return cmd.ProcessState.ExitCode(), counts
}

// Ctrl-C ends a backfill after the files in hand; the next one takes the rest in.
func TestBackfillStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	const n = 200
	data := t.TempDir()
	env := []string{"CAS_DATA_DIR=" + data, "CAS_SOURCE_DIR=" + oldFolder(t, n)}
	if out, err := casCommand(t, env, "import", "--from-folder").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	code, first := backfillProcess(t, env, func(p *os.Process) {
		poll := time.NewTicker(5 * time.Millisecond)
		defer poll.Stop()
		for deadline := time.Now().Add(castest.WaitLimit); objectsIn(data) < 5 && time.Now().Before(deadline); <-poll.C {
		}
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}, "--rate", "50", "--concurrency", "3")
	if code != exit.Interrupted || first.Taken < 5 || first.Taken >= n || first.Failed+first.PutOff != 0 {
		t.Errorf("stopped: exit code %d, %+v", code, first)
	}
	if got := objectsIn(data); int64(got) != first.Taken {
		t.Errorf("%d objects after %d were taken in", got, first.Taken)
	}
	code, second := backfillProcess(t, env, nil)
	if code != exit.OK || first.Taken+second.Taken != n || second.Duplicates != 0 {
		t.Errorf("gone on: exit code %d, %+v after %+v", code, second, first)
	}
	if got := objectsIn(data); got != n {
		t.Errorf("%d objects of %d files", got, n)
	}
}

// Two backfills at once, of an embedded gateway at that, do each other no harm.
func TestTwoBackfillsAtOnce(t *testing.T) {
	t.Parallel()
	const n = 200
	data := t.TempDir()
	env := []string{"CAS_DATA_DIR=" + data, "CAS_SOURCE_DIR=" + oldFolder(t, n)}
	if out, err := casCommand(t, env, "import", "--from-folder").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if code, counts := backfillProcess(t, env, nil, "--concurrency", "4"); code != exit.OK || counts.Failed+counts.PutOff+counts.Gone != 0 {
				t.Errorf("exit code %d, %+v", code, counts)
			}
		})
	}
	both.Wait()
	if got := objectsIn(data); got != n {
		t.Errorf("%d objects of %d files", got, n)
	}
	if code, counts := backfillProcess(t, env, nil); code != exit.OK || counts != (importer.BackfillCounts{}) {
		t.Errorf("afterwards: exit code %d, %+v", code, counts)
	}
}

// A copy that the old manager has at a provider of CAS_PROVIDERS_FILE is taken over.
func TestBackfillTakesCopiesOfDescribedProvidersOver(t *testing.T) {
	t.Parallel()
	source, data := oldFolder(t, 1), t.TempDir()
	rows, described := filepath.Join(data, "rows.jsonl"), filepath.Join(data, "providers.json")
	for path, content := range map[string]string{
		rows:      `{"id": "1", "storage_path": "0000.txt", "original_name": "a.txt", "size": 10, "provider": "lim", "provider_file_id": "lim_1"}`,
		described: `[{"name": "lim", "base_url": "http://127.0.0.1:1/v1", "listing": "none", "purposes": [{"name": "file-extract"}]}]`,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"CAS_DATA_DIR=" + data, "CAS_SOURCE_DIR=" + source, "CAS_PROVIDERS_FILE=" + described, "CAS_LIM_API_KEY=key"}
	for _, args := range [][]string{{"import", "--from-jsonl", rows}, {"backfill"}} {
		if out, err := casCommand(t, env, args...).CombinedOutput(); err != nil || bytes.Contains(out, []byte("provider not found")) {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	gateway := serveProcess(t, casCommand(t, env, "serve"))
	digest := cas.DigestOf([]byte("old file 0"))
	out, err := casCommand(t, append(env, "CAS_URL="+gateway.url), "copies", "--json", digest.String()).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(`"state":"unverified","provider_file_id":"lim_1"`)) {
		t.Errorf("%v: %s", err, out)
	}
}

// A server that stays away ends the run with its own exit code, and fails nothing.
func TestBackfillWithoutItsSource(t *testing.T) {
	t.Parallel()
	env := []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_SOURCE_S3_ENDPOINT=http://127.0.0.1:1", "CAS_SOURCE_S3_BUCKET=old",
		"CAS_SOURCE_S3_ACCESS_KEY=someone", "CAS_SOURCE_S3_SECRET_KEY=hunter2secret"}
	if out, err := casCommand(t, env, "migrate", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := casCommand(t, env, "backfill").CombinedOutput()
	if err == nil || bytes.Contains(out, []byte("hunter2")) || !bytes.Contains(out, []byte("origin unavailable")) {
		t.Errorf("%v: %s", err, out)
	}
	cmd := casCommand(t, env, "import", "--from-bucket")
	if _ = cmd.Run(); cmd.ProcessState.ExitCode() != exit.Unavailable {
		t.Errorf("exit code %d", cmd.ProcessState.ExitCode())
	}
}
