package record

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaStub is as much of a Kafka broker as a producing client needs: one topic of one partition. It keeps the batches.
type kafkaStub struct {
	l       net.Listener
	conns   sync.WaitGroup
	mu      sync.Mutex
	batches [][]byte
}

func startKafkaStub(t *testing.T) *kafkaStub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &kafkaStub{l: l}
	k.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			k.conns.Go(func() { k.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		k.conns.Wait()
	})
	return k
}

// serve answers requests until the client is gone.
func (k *kafkaStub) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, b); err != nil || len(b) < 10 {
			return
		}
		key, version, correlation := int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:])), b[4:8]
		req := kmsg.RequestForKey(key)
		if req == nil {
			return
		}
		req.SetVersion(version)
		body := b[10+max(0, int(int16(binary.BigEndian.Uint16(b[8:])))):] // after the client id
		if req.IsFlexible() {
			body = body[1:] // no tags
		}
		if err := req.ReadFrom(body); err != nil {
			return
		}
		resp := k.answer(req)
		resp.SetVersion(version)
		out := append(make([]byte, 4), correlation...)
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func (k *kafkaStub) answer(req kmsg.Request) kmsg.Response {
	switch req := req.(type) {
	case *kmsg.ApiVersionsRequest:
		resp := kmsg.NewPtrApiVersionsResponse()
		// Versions before tagged fields, except of this request itself.
		for key, top := range map[int16]int16{0: 8, 3: 8, 18: 3, 22: 1} {
			a := kmsg.NewApiVersionsResponseApiKey()
			a.ApiKey, a.MaxVersion = key, top
			resp.ApiKeys = append(resp.ApiKeys, a)
		}
		return resp
	case *kmsg.MetadataRequest:
		resp := kmsg.NewPtrMetadataResponse()
		addr := k.l.Addr().(*net.TCPAddr)
		br := kmsg.NewMetadataResponseBroker()
		br.NodeID, br.Host, br.Port = 1, addr.IP.String(), int32(addr.Port)
		resp.Brokers = append(resp.Brokers, br)
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Leader, p.Replicas, p.ISR = 1, []int32{1}, []int32{1}
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.Partitions = kmsg.StringPtr("orders"), append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp
	case *kmsg.InitProducerIDRequest:
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ProducerID, resp.ProducerEpoch = 77, 2
		return resp
	case *kmsg.ProduceRequest:
		resp := kmsg.NewPtrProduceResponse()
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, t := range req.Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				k.batches = append(k.batches, append([]byte(nil), p.Records...))
				part := kmsg.NewProduceResponseTopicPartition()
				part.Partition = p.Partition
				topic.Partitions = append(topic.Partitions, part)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp
	default:
		return req.ResponseKind()
	}
}

// What a real Kafka client puts on the wire, with its own batching, sequences and compression, is accepted whole.
func TestARealKafkaClientsBatchesAreAccepted(t *testing.T) {
	codecs := map[Codec]kgo.CompressionCodec{
		CodecNone: kgo.NoCompression(), CodecGzip: kgo.GzipCompression(), CodecSnappy: kgo.SnappyCompression(),
		CodecLZ4: kgo.Lz4Compression(), CodecZstd: kgo.ZstdCompression(),
	}
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			k := startKafkaStub(t)
			cl, err := kgo.NewClient(kgo.SeedBrokers(k.l.Addr().String()), kgo.DefaultProduceTopic("orders"), kgo.ProducerBatchCompression(codecs[codec]))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			const n = 500
			for i := range n {
				r := &kgo.Record{Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value-%d", i), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{byte(i)}}}}
				if i%10 == 0 {
					r.Key = nil
				}
				cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
			if err := cl.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			seen, next := 0, int32(0)
			for _, b := range k.batches {
				h, err := Validate(b, Limits{MaxBytes: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				if h.ProducerID != 77 || h.ProducerEpoch != 2 || h.BaseSequence != next {
					t.Fatalf("header %+v, next sequence %d", h, next)
				}
				next += h.Count
				if err := Each(b, 0, func(_ int64, r Record) error {
					if want := fmt.Sprintf("value-%d", seen); string(r.Value) != want || len(r.Headers) != 1 || (r.Key == nil) != (seen%10 == 0) {
						return fmt.Errorf("record %d is %+v", seen, r)
					}
					seen++
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			if seen != n {
				t.Fatalf("%d records of %d", seen, n)
			}
		})
	}
}
