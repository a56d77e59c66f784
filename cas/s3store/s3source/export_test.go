package s3source

import "time"

// SetStall sets how long a body may bring nothing.
func SetStall(s *Source, d time.Duration) { s.stall = d }
