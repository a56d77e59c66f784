package argument

import (
	"fmt"

	"casgate/cas"
)

// FileID names a file at the gateway.
type FileID string

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *FileID) UnmarshalText(text []byte) error {
	if !cas.IsFileID(string(text)) {
		return fmt.Errorf("%.100q is not the id of a file, such as file-k3v…; cas file ls lists them", text)
	}
	*f = FileID(text)
	return nil
}
