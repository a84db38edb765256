// Package proxy stands between the processes of a cluster, so that their links can be cut and slowed one direction at a time.
//
// # Data flow
//
//	broker 1  --TCP-->  broker 2's peer address at the proxy    --path 1 to 2-->  broker 2's peer listener
//	                                                            <--path 2 to 1--
//	broker 1  --UDP-->  broker 2's gossip address at the proxy  --path 1 to 2-->  broker 2's gossip port
//
// Each broker tells the others addresses of the proxy (its advertise settings), so all traffic between them comes through here, and that of
// clients too. Node 0 is the clients, which live in this process.
//
// Who opened a TCP connection is found in /proc: the socket with this pair of addresses, and which of the known processes has a descriptor
// of it (owner.go). A datagram tells by its source: memberlist sends from the port that it listens on. The proxy passes it on from the
// address that the sender is known by, so the receiver's answers come through here too.
//
// # What a cut does
//
// A cut path takes no more bytes. Connections stay, as they do in a network that drops packets, and a new one is taken and says nothing.
// What is on its way when a path is cut arrives after it heals, late, or never if the connections are broken then: Heal says which.
// Datagrams are dropped. Hits tells whether anything met a cut or a slow path.
//
// # Invariants
//
//   - A connection whose opener is not known is closed: nothing passes by a path that nobody could cut.
//   - Close ends every goroutine and connection.
package proxy
