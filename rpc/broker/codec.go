package broker

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec for all other messages
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Codec is the gRPC codec of the client port. It is protobuf on the wire; only the two messages that carry batches are
// coded by hand: ProduceRequest, so that a batch lands with headroom in one copy and so that counts are bounded before
// anything is allocated for them, and FetchResponse, so that batches are sent from where they were read.
func Codec(l Limits) encoding.CodecV2 {
	return &codec{CodecV2: encoding.GetCodecV2("proto"), limits: l.withDefaults()}
}

type codec struct {
	encoding.CodecV2
	limits Limits
}

func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*produceMessage)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	m.decoded = true
	m.size = data.Len()
	if m.admit != nil {
		if m.refused = m.admit(int64(m.size)); m.refused != nil {
			return nil // the reader of the stream finds it
		}
		m.admitted = true
	}
	d := produceDecoder{r: data.Reader(), limits: c.limits, m: m}
	defer func() { _ = d.r.Close() }() // only drops references, never fails
	if err := d.message(); err != nil {
		m.bad = err // not returned: gRPC would call it INTERNAL, but it is the client's mistake
	}
	return nil
}

func (c *codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*fetchMessage)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	return m.marshal()
}

// produceMessage is what the produce loop reads. Without our codec the embedded message is filled instead.
type produceMessage struct {
	*runnelv1.ProduceRequest

	// admit, if not nil, waits for the message's bytes of the budget, before they are copied out of what came from the wire: a stream that
	// waits holds its request once, not twice. Only our codec calls it.
	admit    func(n int64) error
	admitted bool  // the budget has been charged
	refused  error // by admit

	decoded     bool // by our codec
	correlation uint64
	parts       []inbound
	size        int   // bytes on the wire
	bad         error // why the message cannot be served
}

// inbound is one partition's share of a request.
type inbound struct {
	topic     string
	partition int32
	// buf is record.EnvelopeLen bytes of headroom and then the batch; nil without a batch.
	buf     []byte
	records []record.Record
}

// unpack fills parts from the embedded message, if gRPC's codec filled that. It costs a copy more.
func (m *produceMessage) unpack(l Limits) {
	if m.decoded {
		return
	}
	m.size, m.correlation = proto.Size(m.ProduceRequest), m.GetCorrelationId()
	if n := len(m.GetPartitions()); n > l.PartitionsPerRequest {
		m.bad = tooManyPartitions(l)
		return
	}
	for _, p := range m.GetPartitions() {
		in := inbound{topic: p.GetTopic(), partition: p.GetPartition()}
		if len(p.GetBatch()) > 0 {
			in.buf = append(make([]byte, record.EnvelopeLen, record.EnvelopeLen+len(p.GetBatch())), p.GetBatch()...)
		} else {
			for _, r := range p.GetRecords() {
				in.records = append(in.records, fromProto(r))
			}
		}
		m.parts = append(m.parts, in)
	}
}

func fromProto(r *runnelv1.Record) record.Record {
	out := record.Record{Key: r.GetKey(), Value: r.GetValue(), TimestampMS: r.GetTimestampMs()}
	for _, h := range r.GetHeaders() {
		out.Headers = append(out.Headers, record.RecordHeader{Key: h.GetKey(), Value: h.GetValue()})
	}
	return out
}

func tooManyPartitions(l Limits) error {
	return fmt.Errorf("the request names more than %d partitions: send several requests", l.PartitionsPerRequest)
}

var errTruncated = errors.New("the message is cut short or has a length beyond its end")

// produceDecoder reads one ProduceRequest. Positions are given as bytes remaining, since that is what the reader knows.
type produceDecoder struct {
	r       *mem.Reader
	limits  Limits
	m       *produceMessage
	items   int // plain records and headers so far, over the whole request
	scratch []byte
}

func (d *produceDecoder) message() error {
	for d.r.Remaining() > 0 {
		num, typ, err := d.tag()
		if err != nil {
			return err
		}
		switch {
		case num == 1 && typ == protowire.VarintType:
			if d.m.correlation, err = d.varint(); err != nil {
				return err
			}
		case num == 2 && typ == protowire.BytesType:
			n, err := d.length(0)
			if err != nil {
				return err
			}
			if len(d.m.parts) >= d.limits.PartitionsPerRequest {
				return tooManyPartitions(d.limits)
			}
			if err := d.part(d.r.Remaining() - n); err != nil {
				return err
			}
		default:
			if err := d.skip(typ, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// part reads one ProducePartition, which ends when end bytes remain.
func (d *produceDecoder) part(end int) error {
	d.m.parts = append(d.m.parts, inbound{})
	in := &d.m.parts[len(d.m.parts)-1]
	for d.r.Remaining() > end {
		num, typ, err := d.tag()
		if err != nil {
			return err
		}
		switch {
		case num == 1 && typ == protowire.BytesType:
			if in.topic, err = d.topic(end); err != nil {
				return err
			}
		case num == 2 && typ == protowire.VarintType:
			v, err := d.varint()
			if err != nil {
				return err
			}
			in.partition = int32(v) //nolint:gosec // protobuf's own rule for int32: the low 32 bits
		case num == 3 && typ == protowire.BytesType:
			n, err := d.length(end)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			in.buf = make([]byte, record.EnvelopeLen+n)
			if err := d.read(in.buf[record.EnvelopeLen:]); err != nil {
				return err
			}
		case num == 4 && typ == protowire.BytesType:
			rec, err := d.record(end)
			if err != nil {
				return err
			}
			in.records = append(in.records, rec)
		default:
			if err := d.skip(typ, end); err != nil {
				return err
			}
		}
	}
	if d.r.Remaining() != end {
		return errTruncated
	}
	return nil
}

// topic reads a topic's name; a run of partitions of one topic shares one string.
func (d *produceDecoder) topic(end int) (string, error) {
	n, err := d.length(end)
	if err != nil {
		return "", err
	}
	if n > maxTopicBytes {
		return "", fmt.Errorf("a topic name of %d bytes is too long: at most 249", n)
	}
	if cap(d.scratch) < n {
		d.scratch = make([]byte, maxTopicBytes)
	}
	b := d.scratch[:n]
	if err := d.read(b); err != nil {
		return "", err
	}
	if i := len(d.m.parts) - 2; i >= 0 && d.m.parts[i].topic == string(b) {
		return d.m.parts[i].topic, nil
	}
	if !utf8.Valid(b) {
		return "", errors.New("a topic name is not UTF-8")
	}
	return string(b), nil
}

// record reads a plain Record. Key and value point into one copy of it.
func (d *produceDecoder) record(end int) (record.Record, error) {
	n, err := d.length(end)
	if err != nil {
		return record.Record{}, err
	}
	if err := d.item(); err != nil {
		return record.Record{}, err
	}
	b := make([]byte, n)
	if err := d.read(b); err != nil {
		return record.Record{}, err
	}
	var out record.Record
	err = eachField(b, func(num protowire.Number, typ protowire.Type, v uint64, body []byte) error {
		switch {
		case num == 1 && typ == protowire.BytesType:
			out.Key = notNil(body)
		case num == 2 && typ == protowire.BytesType:
			out.Value = notNil(body)
		case num == 3 && typ == protowire.BytesType:
			if err := d.item(); err != nil {
				return err
			}
			var h record.RecordHeader
			if err := eachField(body, func(num protowire.Number, typ protowire.Type, _ uint64, body []byte) error {
				switch {
				case num == 1 && typ == protowire.BytesType:
					h.Key = string(body)
				case num == 2 && typ == protowire.BytesType:
					h.Value = notNil(body)
				}
				return nil
			}); err != nil {
				return err
			}
			out.Headers = append(out.Headers, h)
		case num == 4 && typ == protowire.VarintType:
			out.TimestampMS = int64(v) //nolint:gosec // protobuf's own rule for int64
		}
		return nil
	})
	return out, err
}

// item counts what costs memory far beyond its bytes on the wire.
func (d *produceDecoder) item() error {
	if d.items++; d.items > d.limits.PlainRecordsPerRequest {
		return fmt.Errorf("the request has more than %d plain records and headers: send several requests",
			d.limits.PlainRecordsPerRequest)
	}
	return nil
}

func (d *produceDecoder) varint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := d.r.ReadByte()
		if err != nil {
			return 0, errTruncated
		}
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errors.New("the message has a number of more than 64 bits")
}

func (d *produceDecoder) tag() (protowire.Number, protowire.Type, error) {
	v, err := d.varint()
	if err != nil {
		return 0, 0, err
	}
	num, typ := protowire.DecodeTag(v)
	if num < protowire.MinValidNumber || num > protowire.MaxValidNumber {
		return 0, 0, errors.New("the message has an invalid field number")
	}
	return num, typ, nil
}

// length reads the length of a field that must end where end bytes remain, or before.
func (d *produceDecoder) length(end int) (int, error) {
	v, err := d.varint()
	if err != nil {
		return 0, err
	}
	if left := d.r.Remaining() - end; left < 0 || v > uint64(left) {
		return 0, errTruncated
	}
	return int(v), nil //nolint:gosec // bounded by Remaining just above
}

func (d *produceDecoder) read(b []byte) error {
	if _, err := io.ReadFull(d.r, b); err != nil {
		return errTruncated
	}
	return nil
}

func (d *produceDecoder) skip(typ protowire.Type, end int) error {
	n := 0
	switch typ {
	case protowire.VarintType:
		_, err := d.varint()
		return err
	case protowire.Fixed32Type:
		n = 4
	case protowire.Fixed64Type:
		n = 8
	case protowire.BytesType:
		var err error
		if n, err = d.length(end); err != nil {
			return err
		}
	default:
		return fmt.Errorf("the message has an unknown wire type %d", typ)
	}
	if d.r.Remaining()-end < n {
		return errTruncated
	}
	if _, err := d.r.Discard(n); err != nil {
		return errTruncated
	}
	return nil
}

// eachField walks the fields of a small message: v for numbers, body for bytes. A known field of another type than its own is none of
// f's: protobuf takes it for an unknown one.
func eachField(b []byte, f func(num protowire.Number, typ protowire.Type, v uint64, body []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		var v uint64
		var body []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			body, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errTruncated
		}
		if err := f(num, typ, v, body); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// notNil keeps a present but empty field apart from an absent one: nil is a null key or value.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
