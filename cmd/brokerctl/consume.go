package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

type consumeFlags struct {
	offset     string
	partitions []int32
	count      int64
	exitAtEnd  bool
	format     string
}

func (a *app) consumeCmd() *cobra.Command {
	var cf consumeFlags
	cmd := &cobra.Command{
		Annotations: asks(),
		Use:         "consume TOPIC",
		Short:       "Print a topic's records, and follow it",
		Long: "Consume prints a topic's records to stdout and waits for more, until it is interrupted. Where it cannot read,\n" +
			"it says why on stderr and goes on; with --exit-at-end it fails after --timeout. Interrupted, it fails if it was to stop at the\n" +
			"end or after -n records, and did not come so far.\n\n" +
			"-f fields: %t topic, %p partition, %o offset, %k key, %v value, %h headers, %d time, %% a percent sign;\n" +
			`escapes: \n \t \r \0 \\. With -o json each record is an object on a line of its own; a key or value that is not` + "\n" +
			"UTF-8 is null there and stands in key_base64 or value_base64.",
		Example: "  brokerctl consume orders --offset start --exit-at-end\n" +
			`  brokerctl consume orders --offset -10 -f '%p/%o %k: %v\n'`,
		Args: these(topicArg), ValidArgsFunction: a.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("count") && cf.count < 1 {
				return fmt.Errorf("-n is %d: use 1 or more", cf.count)
			}
			if a.output == "json" && cmd.Flags().Changed("format") {
				return errors.New("-f and -o json exclude each other: leave one out")
			}
			return a.consume(cmd.Context(), args[0], cf)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cf.offset, "offset", "end", "where to begin: start, end, N, -N (before the end), @time (ms since 1970, or RFC 3339)")
	f.Int32SliceVarP(&cf.partitions, "partition", "p", nil, "partitions to read (default all)")
	f.Int64VarP(&cf.count, "count", "n", 0, "stop after so many records")
	f.BoolVar(&cf.exitAtEnd, "exit-at-end", false, "stop at the end that the topic has now")
	f.StringVarP(&cf.format, "format", "f", `%v\n`, "how to print a record")
	return cmd
}

func (a *app) consume(ctx context.Context, topic string, cf consumeFlags) (err error) {
	at, err := parsePlace(cf.offset)
	if err != nil {
		return err
	}
	layout, err := parseFormat(cf.format)
	if err != nil {
		return err
	}
	render := func(dst []byte, r *client.Record) ([]byte, error) { return layout.append(dst, r), nil }
	if a.output == "json" {
		render = appendJSON
	}
	c, err := a.open(connectSpec{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	if err := a.reach(ctx, c, topic); err != nil {
		if ctx.Err() != nil {
			return cf.interrupted(0)
		}
		return err
	}
	readers, err := a.openReaders(ctx, c, topic, at, cf)
	if err != nil {
		if ctx.Err() != nil {
			return cf.interrupted(0)
		}
		return err
	}
	defer func() {
		for _, r := range readers {
			err = errors.Join(err, r.Close())
		}
	}()
	readCtx, stop := context.WithCancelCause(ctx)
	out := newPromptWriter(a.out, func() { stop(nil) })
	defer func() { err = errors.Join(err, out.Close()) }()
	dog := watchdog{readers: readers, w: a.errOut, stop: stop}
	if cf.exitAtEnd {
		dog.giveUp = a.timeout
	}
	var watched sync.WaitGroup
	watched.Go(func() { dog.run(readCtx) })
	defer watched.Wait()
	defer stop(nil)

	var line []byte
	written := int64(0)
	for r, recErr := range merge(readCtx, readers) {
		if recErr != nil {
			var gaveUp *runnelv1.Error
			switch {
			case errors.As(context.Cause(readCtx), &gaveUp):
				return gaveUp
			case ctx.Err() != nil:
				return cf.interrupted(written)
			case readCtx.Err() != nil:
				return nil // stdout failed, and out.Close tells how
			case runnelv1.AsError(recErr).GetReason() == runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE:
				return fmt.Errorf("%w: use --offset start or end", recErr)
			}
			return recErr
		}
		if at.kind == atTime && at.skip(r) {
			continue
		}
		if line, err = render(line[:0], r); err != nil {
			return err
		}
		if _, err = out.Write(line); err != nil {
			return err
		}
		if written++; written == cf.count {
			return nil
		}
	}
	return nil
}

// interrupted is how an interrupt ends it after so many records: well if it follows, which nothing else ends, and otherwise with what was not
// reached, or a part of the records would pass for all.
func (cf *consumeFlags) interrupted(written int64) error {
	missed := ""
	switch {
	case cf.count > 0 && cf.exitAtEnd:
		missed = fmt.Sprintf("neither -n %d nor the end was reached", cf.count)
	case cf.count > 0:
		missed = fmt.Sprintf("-n %d was not reached", cf.count)
	case cf.exitAtEnd:
		missed = "the end was not reached"
	default:
		return nil
	}
	return fmt.Errorf("interrupted after writing %s: %s", plural(written, "record"), missed)
}

// reach finds out within the time-out whether any broker answers. What it says of the topic is the reader's business: one
// broker alone may not know it yet.
func (a *app) reach(ctx context.Context, c cluster, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	_, err := c.Metadata(ctx, topic)
	return err
}

// openReaders opens one reader for all partitions, or, where they begin at different offsets, one for each.
func (a *app) openReaders(ctx context.Context, c cluster, topic string, at place, cf consumeFlags) ([]reader, error) {
	specs := []readSpec{{partitions: cf.partitions, from: at, toEnd: cf.exitAtEnd}}
	if at.kind == fromEnd {
		var err error
		if specs, err = a.beforeEnd(ctx, c, topic, at.n, cf); err != nil {
			return nil, err
		}
	}
	var readers []reader
	for _, s := range specs {
		r, err := c.NewReader(topic, s)
		if err != nil {
			for _, open := range readers {
				err = errors.Join(err, open.Close())
			}
			return nil, err
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// beforeEnd begins n records before the end of each partition, or at its start if it has fewer.
func (a *app) beforeEnd(ctx context.Context, c cluster, topic string, n int64, cf consumeFlags) ([]readSpec, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	start, err := c.ListOffsets(ctx, topic, client.AtStart())
	if err != nil {
		return nil, err
	}
	end, err := c.ListOffsets(ctx, topic, client.AtEnd())
	if err != nil {
		return nil, err
	}
	partitions := cf.partitions
	if len(partitions) == 0 {
		partitions = slices.Sorted(maps.Keys(end))
	}
	var specs []readSpec
	for _, p := range partitions {
		if _, ok := end[p]; !ok {
			return nil, fmt.Errorf("topic %s has no partition %d: it has %d, counted from 0", topic, p, len(end))
		}
		from := place{kind: atOffset, n: max(end[p]-n, start[p])}
		specs = append(specs, readSpec{partitions: []int32{p}, from: from, toEnd: cf.exitAtEnd})
	}
	return specs, nil
}

// merge reads several readers at once. It ends when all have ended, or with the first error, and leaves no goroutine.
func merge(ctx context.Context, readers []reader) iter.Seq2[*client.Record, error] {
	if len(readers) == 1 {
		return readers[0].Records(ctx)
	}
	type item struct {
		r   *client.Record
		err error
	}
	return func(yield func(*client.Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		items := make(chan item, 64)
		var wg sync.WaitGroup
		for _, rd := range readers {
			wg.Go(func() {
				for r, err := range rd.Records(ctx) {
					select {
					case items <- item{r, err}:
					case <-ctx.Done():
						return
					}
				}
			})
		}
		closed := make(chan struct{})
		go func() { wg.Wait(); close(items); close(closed) }()
		defer func() { cancel(); <-closed }()
		for it := range items {
			if !yield(it.r, it.err) || it.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// promptAfter is how long a printed record may wait in the buffer for more.
const promptAfter = 20 * time.Millisecond

// promptWriter buffers, and yet writes everything soon: at full speed a record costs no system call, and at one record
// a second nobody waits for it. A late write that fails calls failed once; the next call gives the error.
type promptWriter struct {
	failed func()

	mu    sync.Mutex
	b     *bufio.Writer
	timer *time.Timer
	armed bool
	err   error
}

func newPromptWriter(w io.Writer, failed func()) *promptWriter {
	p := &promptWriter{failed: failed, b: bufio.NewWriterSize(w, 64<<10)}
	p.timer = time.AfterFunc(time.Hour, p.late)
	p.timer.Stop()
	return p
}

func (p *promptWriter) late() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	if err := p.b.Flush(); err != nil && p.err == nil {
		p.err = err
		p.failed()
	}
}

func (p *promptWriter) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	if !p.armed {
		p.armed = true
		p.timer.Reset(promptAfter)
	}
	return p.b.Write(b)
}

// Close writes the rest. It does not close what is underneath.
func (p *promptWriter) Close() error {
	p.timer.Stop()
	p.late()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
