package listen

import (
	"time"

	"google.golang.org/grpc/credentials"
)

// LingerFor has those whom c refuses get so much time to read why.
func LingerFor(c credentials.TransportCredentials, d time.Duration) { c.(*secure).linger = d }
