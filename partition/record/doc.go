// Package record reads, checks and writes record batches, the unit in which Runnel takes, stores and serves records.
//
// The format is Kafka's RecordBatch v2 (KIP-98, magic 2), so that batches pass a broker as opaque bytes:
//
//	 0 baseOffset int64      21 attributes int16       43 producerId int64
//	 8 batchLength int32     23 lastOffsetDelta int32  51 producerEpoch int16
//	12 leaderEpoch int32     27 firstTimestamp int64   53 baseSequence int32
//	16 magic int8            35 maxTimestamp int64     57 count int32
//	17 crc uint32                                      61 records (perhaps compressed)
//
// All integers are big endian. The CRC (Castagnoli) covers everything from the attributes on, so a broker can Stamp base
// offset and leader epoch into a client's batch without touching the rest.
//
// Flow: a client builds a batch (Builder, Encode); the broker's produce path checks it once (Validate); the leader
// stamps it (Stamp), puts it behind an envelope (PutEnvelope) and proposes it; the log of every replica folds entries
// to offsets (Fold); readers take batches apart (Batches, Each).
//
// Invariants:
//   - Nothing in here trusts a length: every count and size is checked against the bytes that are left before anything
//     is allocated for it, and decompression stops at a bound that the caller gives.
//   - Fold is a pure function of the entry and the next offset: every replica gets the same answer.
//   - Validate, Builder.Add and Each do not allocate per record (Each does for record headers, in slabs).
//
// Callers: partition, partition/raftlog, rpc/broker, rpc/client. It imports none of Runnel's packages.
package record
