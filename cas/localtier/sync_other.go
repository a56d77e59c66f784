//go:build !linux

package localtier

import "os"

// syncDisk can't tell when everything is durable, so the next start drops the copies.
func syncDisk(*os.File) error { return errNoSync }
