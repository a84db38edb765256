package listen

import (
	"time"

	"google.golang.org/grpc/credentials"
)

// LingerFor has those whom c refuses get so much time to read why.
func LingerFor(c credentials.TransportCredentials, d time.Duration) { c.(*secure).linger = d }

// Strangers is how many are kept.
func (l *Listener) Strangers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.strangers)
}
