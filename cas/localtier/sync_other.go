//go:build !linux

package localtier

import "os"

// noFollow: openRegular looks before it opens, which is all there is.
const noFollow = 0

// syncDisk can't tell when everything is durable, so the next start drops the copies.
func syncDisk(*os.File) error { return errNoSync }
