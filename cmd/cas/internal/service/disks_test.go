package service

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/disk"
)

func TestDisks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		low  int64
		want bool
	}{
		"room": {1, false}, "low": {math.MaxInt64, true}, "no limit": {0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			registry := prometheus.NewRegistry()
			d, err := NewDisks([]disk.Folder{{Name: "data", Path: dir}, {Name: "spool", Path: dir}}, tt.low, registry, zerolog.New(&log))
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if d.IsLow() != tt.want {
					t.Errorf("low: %t", d.IsLow())
				}
			}
			if lines := strings.Count(log.String(), "nearly full"); lines > 1 || (lines == 1) != tt.want {
				t.Errorf("the log has %q", log.String())
			}
			// One disk is counted once.
			families, err := registry.Gather()
			if err != nil || len(families) != 2 || len(families[0].GetMetric()) != 1 {
				t.Fatalf("metrics: %v, %v", families, err)
			}
			if free := families[0].GetMetric()[0].GetGauge().GetValue(); free <= 0 {
				t.Errorf("%f bytes are free", free)
			}
			if low := families[1].GetMetric()[0].GetGauge().GetValue(); (low == 1) != tt.want {
				t.Errorf("casgate_disk_low is %f", low)
			}
		})
	}
}

func TestDisksNeedTheirFolders(t *testing.T) {
	t.Parallel()
	if _, err := NewDisks([]disk.Folder{{Name: "data", Path: t.TempDir() + "/missing"}}, 1, prometheus.NewRegistry(), zerolog.Nop()); err == nil {
		t.Error("a missing folder has a disk")
	}
}

// A disk that is mounted while the gateway runs counts, too. Here a link gets to one that has
// no room.
func TestDiskThatIsMountedLater(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	dir := t.TempDir()
	spool := filepath.Join(dir, "spool")
	if err := os.Symlink(dir, spool); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	d, err := NewDisks([]disk.Folder{{Name: "data", Path: dir}, {Name: "spool", Path: spool}}, 1, registry, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if d.IsLow() {
		t.Fatal("a disk with room is low")
	}
	if err := errors.Join(os.Remove(spool), os.Symlink("/proc", spool)); err != nil {
		t.Fatal(err)
	}
	if !d.IsLow() {
		t.Error("a disk without room is not low")
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 2 || len(families[0].GetMetric()) != 2 {
		t.Errorf("metrics: %v, %v", families, err)
	}
}
