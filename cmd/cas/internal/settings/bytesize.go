package settings

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// ByteSize is a number of bytes, such as 5GiB or 1048576.
type ByteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *ByteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is not a size such as 5GiB, 100MB or 1048576", text)
	}
	*s = ByteSize(n)
	return nil
}
