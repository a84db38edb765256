package agent

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/record"
)

// load produces to t/0 until it is stopped, wherever the leader is, and keeps what was acknowledged.
type load struct {
	c    *testCluster
	quit chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	n     int
	acked map[int64]string // offset -> value
}

func (c *testCluster) produce() *load {
	l := &load{c: c, quit: make(chan struct{}), acked: map[int64]string{}}
	c.t.Cleanup(l.stop)
	l.done.Go(func() {
		pause := time.NewTicker(time.Millisecond)
		defer pause.Stop()
		for {
			select {
			case <-l.quit:
				return
			case <-pause.C:
				l.one()
			}
		}
	})
	return l
}

// produceInto goes on where a load that was stopped has ended.
func (c *testCluster) produceInto(l *load) *load {
	next := c.produce()
	next.mu.Lock()
	defer next.mu.Unlock()
	next.n += l.n
	for offset, v := range l.acked {
		next.acked[offset] = v
	}
	return next
}

func (l *load) stop() {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.done.Wait()
}

// one produces a record to whoever says that it leads.
func (l *load) one() {
	l.mu.Lock()
	l.n++
	value := fmt.Sprintf("%06d %s", l.n, strings.Repeat("v", 1500))
	l.mu.Unlock()
	for _, n := range l.c.all() {
		p, e := n.agent.Partition("t", 0)
		if e != nil || !p.Status().Leader {
			continue
		}
		b, err := record.Encode(nil, []record.Record{{Value: []byte(value)}}, record.EncodeOptions{ProducerID: -1})
		if err != nil {
			l.c.t.Error(err)
			return
		}
		h, err := record.ParseHeader(b)
		if err != nil {
			l.c.t.Error(err)
			return
		}
		answer := make(chan partition.ProduceResult, 1)
		p.Produce(b, h, func(r partition.ProduceResult) { answer <- r })
		select {
		case r := <-answer:
			if r.Err == nil {
				l.mu.Lock()
				l.acked[r.Base] = value
				l.mu.Unlock()
			}
		case <-l.quit:
		}
		return
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// more waits until that many more were acknowledged.
func (l *load) more(n int) {
	l.c.t.Helper()
	from := l.count()
	l.c.eventually("records are acknowledged", func() (bool, string) {
		got := l.count() - from
		return got >= n, fmt.Sprintf("%d of %d", got, n)
	})
}

// check stops the load and reads every replica of t/0: each holds all that was acknowledged, at its offset (I1), has a record at every
// offset (I2), and all hold the same (I14).
func (l *load) check() {
	l.c.t.Helper()
	l.stop()
	var hw int64
	l.c.eventually("a leader with everything", func() (bool, string) {
		lead, _ := l.c.leads()
		if lead == nil {
			return false, "no leader"
		}
		p, e := lead.agent.Partition("t", 0)
		if e != nil {
			return false, e.Error()
		}
		hw = p.HighWatermark()
		return true, ""
	})
	var first map[int64]string
	for _, r := range l.c.part().Replicas {
		n := l.c.node(r.Broker)
		if n == nil {
			continue
		}
		var p *partition.Partition
		l.c.eventually(fmt.Sprintf("broker %d has everything", n.id), func() (bool, string) {
			var e error
			if q, err := n.agent.Partition("t", 0); err == nil {
				p = q
			} else {
				e = err
			}
			if e != nil {
				return false, e.Error()
			}
			return p.HighWatermark() >= hw, fmt.Sprintf("%d of %d", p.HighWatermark(), hw)
		})
		got := map[int64]string{}
		for at := int64(0); at < hw; {
			res, err := p.TryFetch(partition.FetchRequest{Offset: at, AnyReplica: true}, nil)
			if err != nil {
				l.c.t.Fatalf("broker %d at offset %d: %v", n.id, at, err)
			}
			for b, err := range record.Batches(res.Batches) {
				if err == nil {
					err = record.Each(b, 1<<20, func(offset int64, r record.Record) error {
						got[offset] = string(r.Value)
						return nil
					})
				}
				if err != nil {
					l.c.t.Fatal(err)
				}
			}
			if res.Next <= at {
				l.c.t.Fatalf("broker %d: nothing at offset %d of %d", n.id, at, hw)
			}
			at = res.Next
		}
		for offset, v := range l.acked {
			if got[offset] != v {
				l.c.t.Fatalf("broker %d holds %.8q at offset %d, acknowledged was %.8q", n.id, got[offset], offset, v)
			}
		}
		for offset := range hw {
			if _, ok := got[offset]; !ok {
				l.c.t.Fatalf("broker %d holds nothing at offset %d of %d: offsets have no gaps", n.id, offset, hw)
			}
		}
		if first == nil {
			first = got
		}
		for offset, v := range first {
			if offset < hw && got[offset] != v {
				l.c.t.Fatalf("broker %d differs at offset %d", n.id, offset)
			}
		}
	}
	if first == nil {
		l.c.t.Fatal("no replica to read")
	}
}
