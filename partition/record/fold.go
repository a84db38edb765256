package record

// Meta is what one raft entry means to the log: its offsets and the fields that state is folded from.
type Meta struct {
	Index, Term uint64
	// Conf: the entry is a conf change.
	Conf bool
	Kind Kind
	// Void: the entry takes no effect on any replica. See Fold.
	Void bool
	// AppendMS is the leader's clock when it proposed the entry, milliseconds since the epoch.
	AppendMS int64
	// Base is the entry's first offset and Next the one after its last; both are the next offset for an entry without
	// records.
	Base, Next int64
	// The fields below are a batch's. ProducerID is -1 for entries without a sequence.
	MaxTimestamp  int64
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Count         int32
	// Size is the payload's length in bytes.
	Size int
}

// Fold tells what an entry means when next is the next offset. It is pure, so all replicas agree (RULES 12): a batch that
// was stamped for another term or another offset, or that cannot be read, is void, as is an entry of an unknown kind or
// envelope version. It looks at no more than the envelope and the batch's header: data may be cut off after those, only
// Size of anything but a batch then counts what is there.
func Fold(index, term uint64, conf bool, data []byte, next int64) Meta {
	m := Meta{Index: index, Term: term, Conf: conf, Base: next, Next: next, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	if conf || len(data) == 0 {
		return m
	}
	kind, appendMS, payload, err := OpenEnvelope(data)
	if err != nil {
		m.Void = true
		return m
	}
	m.Kind, m.AppendMS, m.Size = kind, appendMS, len(payload)
	switch kind {
	case KindCommand:
		return m
	case KindBatch:
	default:
		m.Void = true
		return m
	}
	h, err := parseHeader(payload)
	if err != nil {
		m.Void = true
		return m
	}
	m.Size = h.Size
	if uint64(uint32(h.LeaderEpoch)) != term || h.LeaderEpoch < 0 || h.BaseOffset != next ||
		h.Count < 1 || h.LastOffsetDelta != h.Count-1 || h.NextOffset() < next {
		m.Void = true
		return m
	}
	m.Next = h.NextOffset()
	m.MaxTimestamp = h.MaxTimestamp
	m.Count = h.Count
	if h.Idempotent() {
		m.ProducerID, m.ProducerEpoch, m.BaseSequence = h.ProducerID, h.ProducerEpoch, h.BaseSequence
	}
	return m
}
