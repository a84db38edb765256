package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	// defaultMessageBytes is max.message.bytes of a topic that does not set it.
	defaultMessageBytes = 1<<20 + 12
	// recordOverhead is at least what a batch of one record has around key, value and headers: the batch header and the
	// record's own lengths and deltas.
	recordOverhead = record.HeaderLen + 40
	// headerOverhead is the same for each header.
	headerOverhead = 10
	// flushGrace is what Flush gets above the delivery time-out, which bounds it already.
	flushGrace = 5 * time.Second
)

type produceFlags struct {
	delimiter   string
	headers     []string
	partition   int32
	compression string
}

func (a *app) produceCmd() *cobra.Command {
	var pf produceFlags
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write each line of stdin as a record",
		Example: "  echo 'hello' | brokerctl produce greetings\n" +
			`  brokerctl produce orders -K : -z zstd <orders.txt    # key:value lines`,
		Args: these(topicArg), ValidArgsFunction: a.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("partition") && pf.partition < 0 {
				return fmt.Errorf("-p is %d: use a partition number from 0 on", pf.partition)
			}
			if cmd.Flags().Changed("key-delimiter") {
				d, err := parseDelimiter(pf.delimiter)
				if err != nil {
					return err
				}
				pf.delimiter = d
			}
			return a.produce(cmd.Context(), args[0], pf)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&pf.delimiter, "key-delimiter", "K", "", `text between key and value in each line, such as : or \t`)
	f.StringArrayVarP(&pf.headers, "header", "H", nil, "header of every record, name=value (repeatable)")
	f.Int32VarP(&pf.partition, "partition", "p", client.AnyPartition, "partition to write to (default by key, or spread)")
	f.Lookup("partition").DefValue = "0" // keeps -1, which nobody can give, out of the help
	f.StringVarP(&pf.compression, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	mustComplete(cmd, "compression", "none", "gzip", "snappy", "lz4", "zstd")
	return cmd
}

// produceJSON is the answer of `produce`.
type produceJSON struct {
	Topic   string `json:"topic"`
	Records int64  `json:"records"` // handed to the client
	Acked   int64  `json:"acked"`
	// Failed records are not in the topic; Unknown ones may be.
	Failed           int64   `json:"failed"`
	Unknown          int64   `json:"unknown"`
	Bytes            int64   `json:"bytes"` // keys and values of the acknowledged records
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"records_per_second"`
	MBPerSecond      float64 `json:"mb_per_second"`
}

func (a *app) produce(ctx context.Context, topic string, pf produceFlags) (err error) {
	codec, err := record.ParseCodec(pf.compression)
	if err != nil {
		return fmt.Errorf("-z: %w", err)
	}
	p := &lineProducer{topic: topic, flags: pf}
	overhead := recordOverhead
	for _, h := range pf.headers {
		kv, err := keyValues("-H", []string{h})
		if err != nil {
			return err
		}
		for k, v := range kv {
			p.headers = append(p.headers, client.Header{Key: k, Value: []byte(v)})
			overhead += len(k) + len(v) + headerOverhead
		}
	}
	c, err := a.open(connectSpec{codec: codec, deliveryTimeout: a.timeout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	limit, err := a.maxMessageBytes(ctx, c, topic)
	if err != nil {
		return err
	}
	if overhead >= limit {
		return fmt.Errorf("the headers leave no room for a value: max.message.bytes of topic %s is %d", topic, limit)
	}
	lineCtx, stop := context.WithCancel(ctx)
	defer stop()
	started := time.Now()
	readErr := p.sendLines(lineCtx, c, newLineReader(lineCtx, a.in, limit-overhead))
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout+flushGrace)
	defer cancel()
	flushErr := c.Flush(flushCtx)
	sum := p.summary(time.Since(started))
	printErr := a.printProduced(sum)
	var tooLong *tooLongError
	if errors.As(readErr, &tooLong) {
		readErr = fmt.Errorf("%w, what max.message.bytes of topic %s (%d) leaves: split it or raise the setting", readErr, topic, limit)
	}
	if p.firstErr == nil && readErr == nil && flushErr == nil {
		return printErr
	}
	cause := errors.Join(p.firstErr, readErr)
	if cause == nil {
		cause = flushErr
	}
	note := ""
	if sum.Unknown > 0 {
		note = ": those may be in the topic"
	}
	are := "are"
	if sum.Acked == 1 {
		are = "is"
	}
	return errors.Join(fmt.Errorf("%w (of %s sent %d %s acknowledged, %d failed, %d unknown%s)",
		cause, plural(sum.Records, "record"), sum.Acked, are, sum.Failed, sum.Unknown, note), printErr)
}

// maxMessageBytes asks for the topic's limit, and so finds out before the first line is read that there is no such
// topic.
func (a *app) maxMessageBytes(ctx context.Context, c cluster, topic string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	md, err := c.Metadata(ctx, topic)
	if err != nil {
		return 0, err
	}
	for _, t := range md.GetTopics() {
		if t.GetName() != topic {
			continue
		}
		if t.GetError() != nil {
			return 0, t.GetError()
		}
		s, ok := t.GetConfig()["max.message.bytes"]
		if !ok {
			break
		}
		n, err := strconv.Atoi(s)
		if err != nil || n <= 0 {
			return 0, fmt.Errorf("topic %s has max.message.bytes=%q, not a number of bytes", topic, s)
		}
		return n, nil
	}
	return defaultMessageBytes, nil
}

func (a *app) printProduced(s produceJSON) error {
	if a.output == "json" {
		return printJSON(a.out, s)
	}
	a.tell("%s, %s in %.3f s: %s/s, %.1f MB/s\n",
		plural(s.Acked, "record"), plural(s.Bytes, "byte"), s.Seconds, plural(int64(s.RecordsPerSecond), "record"), s.MBPerSecond)
	return nil
}

// lineProducer turns lines into records and keeps the books of their fates.
type lineProducer struct {
	topic   string
	flags   produceFlags
	headers []client.Header
	sent    int64
	arena   []byte
	records []client.Record

	mu                           sync.Mutex
	acked, failed, unknown, size int64
	firstErr                     error
}

// recordSlab and arenaBytes are how many records and bytes are allocated at once.
const (
	recordSlab = 256
	arenaBytes = 64 << 10
)

// sendLines hands over lines until their end, ctx's, or the first record that fails: what follows it would fail too or
// leave a hole.
func (p *lineProducer) sendLines(ctx context.Context, c cluster, lines *lineReader) error {
	// The records under way outlive an interrupt; the delivery time-out bounds them.
	sendCtx := context.WithoutCancel(ctx)
	for p.failure() == nil {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("interrupted after %s", plural(lines.n, "line"))
			}
			var tooLong *tooLongError
			if errors.As(err, &tooLong) {
				return err
			}
			return fmt.Errorf("reading stdin after line %d: %w", lines.n, err)
		}
		var key []byte
		value := line
		if p.flags.delimiter != "" {
			k, v, ok := bytes.Cut(line, []byte(p.flags.delimiter))
			if !ok {
				return fmt.Errorf("line %d has no key: -K %q is not in it", lines.n, p.flags.delimiter)
			}
			key, value = p.keep(k), v
		}
		r := p.newRecord()
		*r = client.Record{Topic: p.topic, Partition: p.flags.partition, Key: key, Value: p.keep(value), Headers: p.headers}
		p.sent++
		c.Produce(sendCtx, r, p.done)
	}
	return nil
}

// keep copies bytes that the line reader will overwrite. The answer is never nil: an empty line is an empty value.
func (p *lineProducer) keep(b []byte) []byte {
	if len(b) > arenaBytes/4 {
		return bytes.Clone(b)
	}
	if p.arena == nil || cap(p.arena)-len(p.arena) < len(b) {
		p.arena = make([]byte, 0, arenaBytes)
	}
	n := len(p.arena)
	p.arena = append(p.arena, b...)
	return p.arena[n:len(p.arena):len(p.arena)]
}

func (p *lineProducer) newRecord() *client.Record {
	if len(p.records) == 0 {
		p.records = make([]client.Record, recordSlab)
	}
	r := &p.records[0]
	p.records = p.records[1:]
	return r
}

// done is every record's promise.
func (p *lineProducer) done(r *client.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.acked++
		p.size += int64(len(r.Key) + len(r.Value))
		return
	}
	if p.firstErr == nil {
		p.firstErr = err
	}
	if runnelv1.AsError(err).GetKind() == runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
		p.unknown++
	} else {
		p.failed++
	}
}

func (p *lineProducer) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.firstErr
}

// summary is taken after Flush. A record without a fate even then is unknown.
func (p *lineProducer) summary(took time.Duration) produceJSON {
	p.mu.Lock()
	defer p.mu.Unlock()
	round := func(v float64) float64 { return math.Round(v*1000) / 1000 }
	s := produceJSON{
		Topic: p.topic, Records: p.sent, Acked: p.acked, Failed: p.failed, Bytes: p.size, Seconds: round(took.Seconds()),
		Unknown: p.sent - p.acked - p.failed,
	}
	if took > 0 {
		s.RecordsPerSecond = round(float64(s.Acked) / took.Seconds())
		s.MBPerSecond = round(float64(s.Bytes) / took.Seconds() / 1e6)
	}
	return s
}
