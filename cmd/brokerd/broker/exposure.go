package broker

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// checkListeners says of each address that is listened on whether it may be: loopback always, others once what is served there is encrypted
// and whoever connects has to prove who it is, or where that is given up by name.
func (c *Config) checkListeners() error {
	const trust = "or, if all who can reach this host are trusted, set insecure (--insecure)"
	var errs []error
	for _, l := range []struct {
		key, addr string
		closed    bool   // strangers are kept out
		missing   string // what would keep them out
	}{
		{"listen", c.Listen, c.TLS.client(), "it would serve whoever connects, in plain text: set tls.client.cert, tls.client.key and tls.client.ca, " + trust},
		{"peer.listen", c.PeerListen, c.TLS.peer(), "whoever connects could pose as a broker: set tls.peer.cert, tls.peer.key and tls.peer.ca, " + trust},
		{"gossip.listen", c.GossipListen, c.TLS.GossipKeys != "", "whoever sends there could pose as a broker: set gossip.key.file, " + trust},
		{"http.listen", c.HTTPListen, c.HTTPInsecure, "metrics and health are told to whoever asks, in plain text: set http.insecure to allow just that"},
	} {
		host, err := checkAddr(l.addr, true)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", l.key, err))
		case !isLoopback(host) && !l.closed && !c.Insecure:
			errs = append(errs, fmt.Errorf("%s: %q is not a loopback address, and %s", l.key, l.addr, l.missing))
		}
	}
	return errors.Join(errs...)
}

// checkAddr wants host:port and answers the host; port 0 only where one listens.
func checkAddr(addr string, listen bool) (host string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is no host:port", addr)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 || (n == 0 && !listen) {
		return "", fmt.Errorf("%q has no valid port", addr)
	}
	if host == "" && !listen {
		return "", fmt.Errorf("%q names no host that others could reach", addr)
	}
	return host, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
