package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// campaignFolder makes the folder of a campaign. The user of Postgres may enter it.
func campaignFolder(name string) (string, error) {
	if name == "" {
		var err error
		if name, err = os.MkdirTemp("", "casgate-chaos-"); err != nil {
			return "", err
		}
	} else if err := os.MkdirAll(name, 0o711); err != nil {
		return "", err
	}
	return name, os.Chmod(name, 0o711)
}

// buildGateway builds the gateway of the campaign: the test binary of cmd/cas, which is
// cas if it is called by that name. A user's cas has none of the hooks for tests.
func buildGateway(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "cas")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "casgate/cmd/cas")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w: %s", err, out)
	}
	return program, nil
}
