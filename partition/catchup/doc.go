// Package catchup moves the log of a replica from one broker to another, to install a new replica from it (RULES 19).
//
// # Data flow
//
//	Client                         Server (another broker)
//	"ship.manifest"  ->  Source.Ship: a raftlog.Shipment; the answer has its number and raftlog.Manifest
//	"ship.read"      ->  bytes of a whole segment, or of the checkpoint
//	"ship.sum"       ->  the hash over a whole segment, as it was read for the receiver
//	"ship.check"     ->  the source checks a segment whose hash was right but in which the receiver found damage
//	"ship.tail"      ->  entries after the whole segments
//	"ship.close"     ->  the end, or that a replica was installed
//
// The Client feeds a raftlog.Installer. While files are on their way the source goes on being written to; so when that took
// long, the Client asks for a new manifest and gets what came since, until little is left. What remains after that is raft's to
// send. The source holds but a file or two open, so a trim there may take away files that were not read yet: the shipment is over then, and
// a new manifest does not have them.
//
// A transfer that fails is taken up by calling Client.Run again with the same Installer, of the same broker or of another
// one that has a replica: whole files that fit stay, and so do files in part.
//
// # Invariants
//
//   - Both ends take from one Limiter for the whole broker (recovery.rate.bytes) before a byte leaves, and before more are asked for. What
//     the source reads again, for a hash or a check, is taken from it as well. Logs that a broker needs to be a member go past it at both ends.
//   - A Server has at most Config.MaxShipments open, and closes one that nobody has read from for Config.Idle. One that was closed counts
//     until its last call has ended.
//   - Each call of a Client has a bound (stall.go), for a source whose disk hangs.
//   - Bytes are trusted only after their hash, and entries after their own checksums; both are raftlog's to check.
//   - Nothing here starts a goroutine.
//
// # Callers
//
// placement/agent runs the Client for replicas that a move adds, over a connection of rpc/peer that carries nothing else
// (Peers.Bulk). cmd/brokerd/broker serves calls whose method Handles knows.
package catchup
