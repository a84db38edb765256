package broker_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"hash/crc32"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// raw is a client without an SDK's manners.
type raw struct {
	runnelv1.BrokerClient
	runnelv1.AdminClient
}

func rawDial(t *testing.T, addr string) raw {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return raw{runnelv1.NewBrokerClient(conn), runnelv1.NewAdminClient(conn)}
}

// produceRaw sends one batch and answers the broker's verdict.
func (r raw) produceRaw(t *testing.T, topic string, partition int32, batch []byte) (*runnelv1.ProducePartitionResult, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := r.Produce(ctx)
	if err != nil {
		return nil, err
	}
	err = s.Send(&runnelv1.ProduceRequest{CorrelationId: 7, Partitions: []*runnelv1.ProducePartition{{Topic: topic, Partition: partition, Batch: batch}}})
	if err != nil {
		return nil, err
	}
	resp, err := s.Recv()
	if err != nil {
		return nil, err
	}
	if resp.GetCorrelationId() != 7 {
		t.Fatalf("correlation id %d", resp.GetCorrelationId())
	}
	return resp.GetResults()[0], nil
}

func batch(t *testing.T, n int, size int) []byte {
	t.Helper()
	var recs []record.Record
	for range n {
		recs = append(recs, record.Record{Value: bytes.Repeat([]byte("x"), size), TimestampMS: time.Now().UnixMilli()})
	}
	b, err := record.Encode(nil, recs, record.EncodeOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// resum makes the CRC right again after a batch was tampered with.
func resum(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// compressed replaces a batch's records by body and says it is compressed with codec.
func compressed(b []byte, codec byte, body []byte) []byte {
	out := append(bytes.Clone(b[:record.HeaderLen]), body...)
	out[22] = codec
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	return resum(out)
}

func TestBadBatchesGetAClearErrorAndLoseNothing(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1)
	cl := dial(t, c)
	create(t, cl, "orders", 2, 1)
	r := rawDial(t, c.Seeds()[0])
	good := batch(t, 3, 100)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 512<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	count := bytes.Clone(good)
	binary.BigEndian.PutUint32(count[57:], 9)
	badCRC := bytes.Clone(good)
	badCRC[len(badCRC)-1] ^= 1
	magic := bytes.Clone(good)
	magic[16] = 1
	future := bytes.Clone(good)
	for _, at := range []int{27, 35} {
		binary.BigEndian.PutUint64(future[at:], uint64(time.Now().Add(100*time.Hour).UnixMilli()))
	}
	for _, x := range []struct {
		name, topic string
		partition   int32
		batch       []byte
		reason      runnelv1.ErrorReason
	}{
		{"unknown topic", "ordres", 0, good, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC},
		{"topic like a path", "../x", 0, good, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC},
		{"partition too high", "orders", 2, good, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION},
		{"partition negative", "orders", -1, good, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION},
		{"CRC", "orders", 0, badCRC, runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH},
		{"count", "orders", 0, resum(count), runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH},
		{"magic", "orders", 0, magic, runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH},
		{"short", "orders", 0, good[:30], runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH},
		{"cut", "orders", 0, good[:len(good)-5], runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH},
		{"garbage", "orders", 0, bytes.Repeat([]byte{0xa5}, 500), runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH},
		{"compression unknown", "orders", 0, compressed(good, 7, []byte("zzz")), runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH},
		{"compression broken", "orders", 0, compressed(good, 1, []byte("no gzip at all")), runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH},
		{"bomb", "orders", 0, compressed(good, 1, bomb.Bytes()), runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE},
		{"too large", "orders", 0, batch(t, 1, 2<<20), runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE},
		{"from the future", "orders", 0, resum(future), runnelv1.ErrorReason_ERROR_REASON_INVALID_TIMESTAMP},
	} {
		res, err := r.produceRaw(t, x.topic, x.partition, x.batch)
		if err != nil {
			t.Errorf("%s: the stream failed: %v", x.name, err)
			continue
		}
		e := res.GetError()
		if e.GetReason() != x.reason || e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_DEFINITE || e.GetMessage() == "" {
			t.Errorf("%s: got %v, want a definite %v with words", x.name, e, x.reason)
		}
	}
	produce(t, cl, "orders", 0, 100)
	wantEach(t, readAll(t, cl, "orders"), 100)
}

func TestBadTopicsAreRefused(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1)
	r := rawDial(t, c.Seeds()[0])
	ctx := patient(t)
	for _, x := range []struct {
		req  *runnelv1.CreateTopicRequest
		want string
	}{
		{&runnelv1.CreateTopicRequest{Name: "../x"}, "name"},
		{&runnelv1.CreateTopicRequest{Name: ""}, "name"},
		{&runnelv1.CreateTopicRequest{Name: ".."}, "name"},
		{&runnelv1.CreateTopicRequest{Name: strings.Repeat("a", 300)}, "name"},
		{&runnelv1.CreateTopicRequest{Name: "a b"}, "name"},
		{&runnelv1.CreateTopicRequest{Name: "a", Partitions: -1}, "partition"},
		{&runnelv1.CreateTopicRequest{Name: "a", Partitions: 1 << 30}, "partition"},
		{&runnelv1.CreateTopicRequest{Name: "a", ReplicationFactor: 5}, "replication factor"},
		{&runnelv1.CreateTopicRequest{Name: "a", Config: map[string]string{"retention.mss": "1"}}, "retention.ms"},
		{&runnelv1.CreateTopicRequest{Name: "a", Config: map[string]string{"retention.ms": "soon"}}, "retention.ms"},
		{&runnelv1.CreateTopicRequest{Name: "a", RequestId: strings.Repeat("r", 65)}, "request id"},
	} {
		_, err := r.CreateTopic(ctx, x.req)
		e := runnelv1.FromStatus(err)
		if e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_DEFINITE || !strings.Contains(strings.ToLower(e.GetMessage()), x.want) {
			t.Errorf("%v: got %v, want a definite error about %q", x.req, e, x.want)
		}
	}
	topics, err := r.ListTopics(ctx, &runnelv1.ListTopicsRequest{})
	if err != nil || len(topics.GetTopics()) != 0 {
		t.Fatalf("%v %v", topics, err)
	}
}

func TestOffsetsOutOfRangeAreSaid(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 10)
	md, err := cl.Metadata(patient(t), "orders")
	if err != nil {
		t.Fatal(err)
	}
	leader := md.GetTopics()[0].GetPartitions()[0].GetLeaderId()
	r := rawDial(t, c.Config(c.ByID(leader)).Listen)
	for _, offset := range []int64{11, 1 << 40} {
		resp, err := r.FetchOnce(patient(t), &runnelv1.FetchOnceRequest{
			Partitions: []*runnelv1.FetchPartition{{Topic: "orders", Offset: offset}}, MaxWaitMs: 10_000, MinBytes: 1, MaxBytes: 1 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
		e := resp.GetResults()[0].GetResult().GetError()
		if e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE {
			t.Errorf("offset %d: %v", offset, e)
		}
	}
}

func TestANegativeOffsetIsRefused(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1)
	create(t, dial(t, c), "orders", 1, 1)
	_, err := rawDial(t, c.Seeds()[0]).FetchOnce(patient(t), &runnelv1.FetchOnceRequest{
		Partitions: []*runnelv1.FetchPartition{{Topic: "orders", Offset: -5}}, MaxBytes: 1 << 20,
	})
	if e := runnelv1.FromStatus(err); e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT {
		t.Errorf("%v", err)
	}
}

func TestGarbageOnEveryPortIsSurvived(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1)
	cl := dial(t, c)
	create(t, cl, "orders", 1, 1)
	cfg := c.Config(1)
	for _, addr := range []string{cfg.Listen, cfg.PeerListen, cfg.GossipListen, cfg.HTTPListen} {
		for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 4096), strings.Repeat("\x00", 8192), "\x16\x03\x01\x02\x00"} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatalf("%s: %v", addr, err)
			}
			if _, err := conn.Write([]byte(text)); err != nil && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
				t.Errorf("%s: %v", addr, err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	udp, err := net.Dial("udp", cfg.GossipListen)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for range 100 {
		if _, err := udp.Write(bytes.Repeat([]byte{0xf3}, 900)); err != nil {
			t.Fatal(err)
		}
	}
	produce(t, cl, "orders", 0, 100)
	wantEach(t, readAll(t, cl, "orders"), 100)
}

func TestABrokerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1)
	used := c.Config(1)
	fresh := func() broker.Config {
		cfg := used
		cfg.DataDir = t.TempDir()
		cfg.Listen, cfg.PeerListen, cfg.GossipListen, cfg.HTTPListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
		return cfg
	}
	for _, x := range []struct {
		name string
		edit func(*broker.Config)
		want string
	}{
		{"the folder is in use", func(c *broker.Config) { c.DataDir = used.DataDir }, "in use"},
		{"the port is taken", func(c *broker.Config) { c.Listen = used.Listen }, "cannot listen"},
		{"the gossip port is taken", func(c *broker.Config) { c.GossipListen = used.GossipListen }, "gossip.listen"},
		{"the folder is a file", func(c *broker.Config) {
			c.DataDir += "/file"
			if err := os.WriteFile(c.DataDir, []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "directory"},
		{"the folder cannot be written", func(c *broker.Config) { c.DataDir = "/sys/runnel" }, "/sys/runnel"},
		{"not loopback", func(c *broker.Config) { c.Listen = "0.0.0.0:0" }, "--insecure"},
	} {
		cfg := fresh()
		x.edit(&cfg)
		b, err := broker.Start(cfg)
		if err == nil {
			_ = b.Abort()
			t.Errorf("%s: it started", x.name)
		} else if !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %q lacks %q", x.name, err, x.want)
		}
	}
}

func TestSeedsThatDoNotAnswerAreNamed(t *testing.T) {
	t.Parallel()
	cfg := brokertest.Lone(t)
	cfg.Seeds = []string{cfg.GossipListen, "127.0.0.1:1"}
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	}()
	brokertest.Eventually(t, func() bool {
		err := b.Ready()
		return err != nil && strings.Contains(err.Error(), "127.0.0.1:1")
	}, func() string { return b.Ready().Error() })
	r := rawDial(t, cfg.Listen)
	_, err = r.ListTopics(patient(t), &runnelv1.ListTopicsRequest{})
	if e := runnelv1.FromStatus(err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE {
		t.Errorf("a broker without a cluster answered %v", err)
	}
}

func TestAClusterOfOneThatMeetsAnotherRefusesService(t *testing.T) {
	t.Parallel()
	other := brokertest.Start(t, 1)
	cfg := brokertest.Lone(t)
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, func() bool { return b.Ready() == nil }, func() string { return b.Ready().Error() })
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	cfg.Seeds = []string{other.Config(1).GossipListen, cfg.GossipListen}
	if b, err = broker.Start(cfg); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	}()
	r := rawDial(t, cfg.Listen)
	brokertest.Eventually(t, func() bool {
		_, err := r.ListTopics(patient(t), &runnelv1.ListTopicsRequest{})
		return strings.Contains(runnelv1.FromStatus(err).GetMessage(), "cluster") && b.Ready() != nil
	}, func() string { return "it serves beside another cluster" })
}
