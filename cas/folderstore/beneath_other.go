//go:build !linux

package folderstore

import "os"

// beneath can't be used on this system.
type beneath struct{}

func newBeneath(*os.Root) (*beneath, error) { return &beneath{}, nil }

func (*beneath) close() error { return nil }

func (*beneath) open(string) (*os.File, error) { return nil, errNotBeneath }
