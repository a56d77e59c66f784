package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestMain lets the test binary be cas itself where it is called by that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "cas" {
		main()
	}
	os.Exit(m.Run())
}

func TestVersionAndUsageExitCodes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"version"}, exitOK},
		{[]string{"--help"}, exitOK},
		{nil, exitOK},
		{[]string{"nonsense"}, exitUsage},
		{[]string{"serve", "--no-such-flag"}, exitUsage},
		{[]string{"serve", "--max-blob-size=6GiB", "--data-dir=" + t.TempDir(), "--listen=127.0.0.1:0", "--admin-listen="}, exitUsage},
		{[]string{"serve", "--max-blob-size=lots"}, exitUsage},
		{[]string{"serve", "--auth=none", "--listen=0.0.0.0:0", "--admin-listen=", "--data-dir=" + t.TempDir()}, exitUsage},
	} {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		if code := run(context.Background(), tt.args, stdio{null, null, null}); code != tt.code {
			t.Errorf("cas %q exits with %d, want %d", tt.args, code, tt.code)
		}
	}
}
