package peer

import (
	"strings"

	"google.golang.org/grpc/status"
)

// plainError is an error of gRPC in words for an operator. Unwrap gives the original.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// plain rewords an error of a connection or an RPC.
func plain(err error) error {
	text := err.Error()
	if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	return &plainError{text: plainText(text), err: err}
}

// plainText takes gRPC's layers off a message. What it does not know it leaves as it is.
func plainText(text string) string {
	switch {
	case strings.Contains(text, "graceful_stop"):
		return "the other broker is stopping"
	case strings.Contains(text, "error reading from server: EOF"), strings.Contains(text, "error reading from server: unexpected EOF"), // with TLS
		text == "EOF", text == "transport is closing":
		return "the other broker closed the connection"
	case strings.Contains(text, "keepalive ping failed"):
		return "the other broker does not answer pings"
	}
	// Layers read `connection error: desc = "transport: Error while dialing: ..."`.
	const layer = `desc = "`
	if i := strings.LastIndex(text, layer); i >= 0 {
		text, _, _ = strings.Cut(text[i+len(layer):], `"`)
	}
	for _, prefix := range []string{"transport: ", "Error while dialing: ", "error reading from server: ", "peer: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}
