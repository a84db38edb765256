//go:build !linux

package peer

import "syscall"

// socketOptions does nothing where TCP_USER_TIMEOUT does not exist: keepalive finds a dead connection a little later.
func socketOptions(_, _ string, _ syscall.RawConn) error { return nil }
