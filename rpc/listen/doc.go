// Package listen bounds what strangers can make a listener hold: connections that are open, and handshakes that are under way.
//
// A [Listener] closes what is above its cap at once, before anything is allocated for it, so connections that are there go on. [Secure] is
// gRPC's TLS with a bound on the handshakes at once: one that finds no room waits a little, and is refused then.
//
// [TCP] is for ports of clients: its connections find out that a client is gone, and cut no other off. A Listener can tell why each ended,
// and close those that did not begin to speak when the server is to stop.
//
// The caller is the broker's assembly (cmd/brokerd/broker). Package rpc/peer has rules of its own.
package listen
