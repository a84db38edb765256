// Package stream keeps a topic under produce and consume while something else happens to the cluster, and says whether users of the
// Go SDK noticed: whether an error reached them, how long the longest wait for an acknowledgement was, and whether every record is there
// exactly once.
//
// # Data flow
//
//	files of package source, round after round  --one client-->   the topic, by key    --+-->  a reader that follows, from the start
//	one record at a time, each 50 ms            --another one-->  every partition      --+     and, at the end, one that starts anew
//
// The records of the second kind, the probes, tell the waits: one is in flight on a partition at a time, so a wait is what a user who
// sends one record has. A pause of a partition that begins and ends between two probes is not seen; it is shorter than their distance.
//
// # Invariants
//
//   - A record that is sent is acknowledged, or its error fails the run (Stream.Err).
//   - Both readers check that offsets are contiguous and that each record comes once; files must come back byte for byte.
//   - Each goroutine ends with Stop, or with the context given to Start.
//
// Callers: bench/elastic, bench/rolling.
package stream
