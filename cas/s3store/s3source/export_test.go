package s3source

import "time"

// SetStall sets the time after which a read without bytes ends.
func SetStall(s *Source, d time.Duration) { s.stall = d }
