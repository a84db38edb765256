//go:build !linux

package listen

import "syscall"

// socketOptions does nothing where TCP_USER_TIMEOUT does not exist: a client that is gone while bytes are under way to it is found
// when the system gives up sending them again.
func (a alive) socketOptions(_, _ string, _ syscall.RawConn) error { return nil }
