package listen

import "time"

// greet counts c as a stranger; false once there are to be none.
func (l *Listener) greet(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.strangers[c] = struct{}{}
	return true
}

// meet takes c off the strangers.
func (l *Listener) meet(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.strangers, c)
}

// CloseStrangers closes the connections of gRPC that have not begun to speak HTTP/2, and each that comes from now on. Call it before
// the server's Stop or GracefulStop: both wait for such a connection until gRPC's ConnectionTimeout, and neither closes it.
func (l *Listener) CloseStrangers() {
	l.mu.Lock()
	l.closed = true
	all := make([]*conn, 0, len(l.strangers))
	for c := range l.strangers {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		_ = c.Close() // nobody to tell
	}
}

// SetDeadline implements net.Conn. gRPC bounds what comes before the first calls, TLS and HTTP/2's preface, by a deadline. It takes that away
// once both are over, and at no other time.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.l.meet(c)
	}
	return c.Conn.SetDeadline(t)
}
