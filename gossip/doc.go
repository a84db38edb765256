// Package gossip finds the other brokers and tells who seems alive, on top of memberlist. All it says is a hint: raft
// decides who leads, and the handshake of package rpc/peer decides who belongs to the cluster.
//
// # Data flow
//
// Every broker announces a [Meta] of at most 512 bytes: who it is (broker id, boot nonce, cluster id), where it
// listens, and, for founding, whether its disk is empty and a hash of its seed list. memberlist spreads it; the
// events of memberlist fill a table in this package, and [Gossip.Members] answers from that table. One goroutine owns
// all timers: it resolves seeds that are not seen as members again and joins them, each RejoinInterval. A second one
// publishes changes of the own Meta and calls OnChange, coalesced.
//
// [Decide] is pure: from the seed list, what the seeds resolved to, and the members it says whether this broker founds
// a cluster, joins one or waits, and why.
//
// # Names
//
// A member's memberlist name is its boot nonce in hex and nothing else. A name cannot change, while the broker id is
// only learnt when the broker joins a cluster, and a changed address under a known name is rejected for seconds; a name
// a boot avoids both. The broker id is in the Meta. Where two members claim one broker id or one address, the newest
// boot (BootMS, then nonce) wins and [Gossip.Members] hides the other.
//
// # How a seed is recognised
//
// A seed is a host:port, the host a name or an address. It is the member whose advertised address it resolves to. Where
// no member advertises that address (translated addresses, several interfaces), the seed is pinged once for each member
// name without a seed: only the process with that boot nonce answers, so this also recognises oneself.
//
// # Invariants
//
//   - A broker with data never founds, and an empty one founds only if every seed is seen, empty and of the same list.
//   - Members never shows two members with the same broker id (other than 0) or the same address.
//   - Stop returns within its context's time, and no goroutine of this package outlives it.
//   - Unauthenticated bytes on the port use bounded memory: connections are capped in number and in bytes read.
//   - With keys, what is not encrypted with one of them is refused, and so is what carries no label of ours. Both are counted. The cluster id is in
//     the Meta, and whoever uses members looks at it: brokers of two clusters that see each other are to say so (Decision.Conflict).
//
// The caller is the broker's assembly (cmd/brokerd/broker).
package gossip
