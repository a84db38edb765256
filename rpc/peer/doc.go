// Package peer is the traffic between brokers: raft packets on lanes, and calls.
//
// # Data flow
//
// For every other broker this package keeps three TCP connections of its own making, one for each lane of package
// multiraft (control, append) and one for calls, because gRPC gives no priority to one stream of a connection over
// another: a vote must not wait behind a megabyte of entries. Calls that carry logs (Bulk) get a fourth, while there are any. A connection starts with a handshake of two small
// messages (HelloRequest, HelloResponse) on the bare TCP stream; HTTP/2 begins only after both sides know and accept each
// other. On a lane's connection there is one gRPC stream, in one direction: its dialler sends, the listener receives.
//
//	Send -> queue (bounded) -> writer: coalesce, encode -> gRPC stream -> decode -> Config.Receive
//
// Send never blocks. The writer takes all that is queued and writes it as few frames. A full queue, or a broker that
// cannot be reached, makes Send answer false.
//
// # Frame format, version 1
//
// One gRPC message of the Lane stream is one frame. Integers are uvarints unless a size is given; fixed ones are little
// endian.
//
//	frame    = version (1 byte, 1)  size of meta (4 bytes)  meta  data
//	meta     = count {packet}
//	packet   = flags (1 byte)  nonce (8 bytes)
//	           [heartbeat: seq  ack (1 byte)  echo nonce (8 bytes)  clock (signed varint)]
//	           [leaders seq]  [count {no lead: group replica term}]  [count {leader: group term leads (1 byte)}]
//	           [count {message}]
//	message  = group  present {field}  [count {entry}]
//	entry    = present (1 byte)  {field}
//	data     = the Data of all entries of the frame, in order
//
// The meta of a message lists which fields of the raft message are set, so decoding gives back exactly what was sent,
// nil or zero. The bytes of entries lie apart from it: they go to the socket from where raft holds them, and come from the
// socket in one copy, into one allocation for each raft message. Not one a frame: entries stay in a replica's memory tail
// for long, and a frame that coalesces many groups would be pinned by its smallest.
//
// Snapshots are never sent this way; a message with one is refused.
//
// # Invariants
//
//   - Packets to one broker on one lane arrive in order or not at all. When a broker reconnects, what is left of the older
//     stream is dropped from the moment the newer one begins.
//   - With Config.TLS, no byte is read or sent on a connection before both ends have shown a broker's certificate. Package rpc/certs says what that is.
//   - No RPC is served on a connection before its handshake. Before that a stranger costs a few KiB, and connections are
//     capped.
//   - A broker of another cluster, without a version of the protocol in common, or that claims this broker's id is refused. Lanes need a
//     broker id and the same cluster on both sides; calls without them come from a joining broker and have from == 0.
//   - A failed call is RETRIABLE only if it was surely never sent.
//   - Every goroutine ends in Stop, within about three seconds.
//
// The callers are multiraft.Host (Send; Receive and Refused the other way), the controller and the agent (Call, Bulk) and the
// assembly, which serves calls (Config.Serve) and joins through CallAddr.
package peer
