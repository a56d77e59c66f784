//go:build !linux

package send

import (
	"errors"
	"syscall"
)

// hotBody can't be made on this system.
type hotBody struct{ size int64 }

func newHotBody([]byte) (*hotBody, error) { return nil, errors.ErrUnsupported }

func (*hotBody) use() {}

func (*hotBody) release() {}

func sendHeader(syscall.RawConn, []byte) error { return errors.ErrUnsupported }

func (*hotBody) send(syscall.RawConn, int64, int64) (int64, error) { return 0, errors.ErrUnsupported }

func isRefused(error) bool { return false }
