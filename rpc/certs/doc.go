// Package certs keeps the certificates and keys of a broker's listeners: read from files, checked before they are used, and read again
// when the files change.
//
// # Data flow
//
//	files -> watch (contents, every few seconds) -> check -> Store.current -> GetConfigForClient, GetClientCertificate, VerifyConnection
//
// A [Store] belongs to one use: the clients' port ([OpenClient]) or the traffic between brokers ([OpenPeer]). The tls.Config that it gives
// is made once and never changes; what it answers with is looked up at each handshake. So a changed file counts for every connection that
// begins after it was read, and one that is there already goes on. [Keys] does the same for the keys of gossip.
//
// # Roles
//
// A broker's certificate for other brokers must carry [PeerRole] as a URI among its subject alternative names, on either side of a
// connection and whatever its CA. So one CA may serve clients and brokers, and a client's certificate still opens no connection between
// brokers. Such a certificate proves that its owner is a broker of the cluster, not which address it has: addresses change, and whoever
// holds one can pose as any broker anyway. Therefore no host name is compared between brokers. Clients do compare it.
//
// # Invariants
//
//   - What is in force passed all checks: the pair fits, it is valid now, and a peer's certificate would be accepted by its own CA.
//   - New contents count only once two looks in a row saw the same: a file that is half written may be a good one, such as a file of CAs that
//     ends after its first, or a key of 32 bytes that ends after 24; and a certificate and its key cannot be written at the same instant.
//   - At an open nothing is in force yet, so what passes counts at once. What does not is looked at again until the caller's context ends: whoever
//     replaces files may be between two of them.
//   - New contents that do not pass leave the old ones in force, are logged and counted once. A file of CAs passes as a whole only.
//   - No session is resumed: a resumed one would not be checked against a CA that changed meanwhile.
//   - No error and no log line holds contents of a file.
//
// The caller is the broker's assembly (cmd/brokerd/broker).
package certs
