package castest

import (
	"os/exec"
	"syscall"
)

// EndWithParent lets the system send a signal to a process that a test starts when the test's
// own process dies, and so runs no cleanup. Only Linux can.
func EndWithParent(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = s
}
