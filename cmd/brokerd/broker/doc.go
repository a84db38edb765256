// Package broker puts one broker together and runs it; cmd/brokerd's main only reads settings for it.
//
// # The order of a start
//
//  1. Listen on the four addresses, so that a taken port is said before anything is written.
//  2. Read certificates and keys, if any (tls.go), and open the data folder (raftlog.Store): its lock, its identity, its format.
//  3. Start the peer service and the host of the Raft groups (multiraft).
//  4. A broker that knows no cluster founds one or joins one, as gossip.Decide says (join.go). Then it opens its replica of the
//     controller group; one that has none, or none that can run, or whose own was given up by hand (givenup.go), first
//     installs one from a member (controller.go).
//  5. The controller's state flows to the agent, which opens this broker's partitions, and to gossip.
//  6. The client port answers from the first moment, with UNAVAILABLE and the reason until step 5 (gate.go).
//
// A stop goes the other way: the controller's loop ends, leadership is handed over while everything still runs, then the client port
// ends, then the agent with what it installs, the shipments to others, host, peers, gossip and the store.
//
// # Between brokers
//
// servePeer takes what other brokers ask to whom it is for: controller.* to the controller, ship.* to the shipments
// (recovery.go), agent.* to the agent. Only a request to join is answered to one who is no member.
//
// A broker that was removed ends itself (removed.go), and nothing else that others say or do not say ends one.
//
// # Settings
//
// Config is what the broker was started with. A few settings change while it runs (runtime.go): with each state of the controller the broker goes
// by what is set there for all, and before that by what is set for itself.
//
// # What is told over HTTP
//
// /metrics is walked together when it is asked for: each part registers its own with the broker's registry. health.go tells what /healthz and
// /readyz mean. They are on an address of their own, and http.go bounds what they cost.
//
// # Strangers
//
// An address that is not loopback needs certificates or keys for what is served there, or consent by name (exposure.go). Connections of clients
// and of HTTP are bounded in number, TLS handshakes too (connections.go); peer and gossip have bounds of their own.
//
// Invariants: one goroutine (Broker.run) owns start and stop; parts get interfaces of one or two methods, never the
// Broker. Whoever starts a Broker calls Stop and may then open the data folder again.
package broker
