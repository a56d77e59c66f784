// Command chaos runs three gateways over one Postgres and one bucket, with simulated
// providers, and lets clients work with them. Meanwhile it kills and stops processes, cuts,
// slows and half-opens links, fills disks, lets providers fail, and steps the clock of
// Postgres. The recorded history must be one that a correct store allows, and at the end
// nothing may be lost or left over. `make chaos` runs it.
//
// Where to look: schedule.go has the faults, and faults.go makes them; clients.go has the
// requests; history.go records the answers, and model.go says which are allowed; checks.go
// has the list of what is checked at the end.
//
// Environment:
//
//	CHAOS_TIME  how long faults are made, such as 3m (the default)
//	CHAOS_SEED  the seed of schedule and clients; random by default. The same seed gives
//	            the same schedule, but processes are not deterministic
//	CHAOS_DIR   where the logs go; a new folder in TMPDIR by default. A campaign without
//	            findings removes it
//
// Postgres and MinIO are the campaign's own. CAS_TEST_POSTGRES_BIN and
// CAS_TEST_MINIO_BINARY name the programs; scripts/services sets them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// defaultTime is how long `make chaos` makes faults.
const defaultTime = 3 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	config, err := configFromEnvironment()
	if err != nil {
		return err
	}
	if config.dir, err = campaignFolder(os.Getenv("CHAOS_DIR")); err != nil {
		return err
	}
	if config.gateway, err = buildGateway(ctx, config.dir); err != nil {
		return err
	}
	report, err := runCampaign(ctx, config)
	if err != nil {
		return fmt.Errorf("%w (logs in %s)", err, config.dir)
	}
	fmt.Print(report)
	if n := len(report.findings); n > 0 {
		return fmt.Errorf("%d findings; CHAOS_SEED=%d repeats the schedule; logs in %s", n, config.seed, config.dir)
	}
	return os.RemoveAll(config.dir)
}

func configFromEnvironment() (config, error) {
	c := config{seed: uint64(time.Now().UnixNano()), time: defaultTime, progress: os.Stderr}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return c, fmt.Errorf("CHAOS_SEED: %w", err)
		}
		c.seed = seed
	}
	if text := os.Getenv("CHAOS_TIME"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return c, fmt.Errorf("CHAOS_TIME=%s is not a time such as 3m", text)
		}
		c.time = d
	}
	var err error
	c.services, err = servicesFromEnvironment()
	return c, err
}
