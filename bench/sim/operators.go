package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// operators are those who change the cluster while faults go on. Each works on a goroutine of its own, one request at a time.
type operators struct {
	ctx      context.Context
	stop     context.CancelFunc
	draining int32 // the broker that is being drained, 0 if none is
	busy     int   // operators that have not ended
}

const (
	numOperators  = 2
	maxPartitions = 3 // of a main topic
)

// operation is something an operator does.
type operation struct {
	weight int64
	do     func(c *Cluster)
}

var operations = []operation{
	{6, (*Cluster).turnTopics},
	{4, (*Cluster).movePartition},
	{1, (*Cluster).cancelMove},
	{3, (*Cluster).transferLeader},
	{2, (*Cluster).drain},
	{1, (*Cluster).addPartition},
	{1, (*Cluster).alterTopic},
	{1, (*Cluster).changeFactor},
}

func (c *Cluster) startOperators() {
	for range numOperators {
		c.operators.busy++
		c.start(nil, func() {
			defer func() { c.operators.busy-- }()
			for c.sleep(time.Duration(100+c.w.Rand().Int64N(700))*time.Millisecond) && !c.healed {
				c.operation().do(c)
			}
		})
	}
}

func (c *Cluster) operation() operation {
	total := int64(0)
	for _, o := range operations {
		total += o.weight
	}
	at := c.w.Rand().Int64N(total)
	for _, o := range operations {
		if at < o.weight {
			return o
		}
		at -= o.weight
	}
	panic("unreachable")
}

// operate asks the controller by way of any broker, and waits.
func (c *Cluster) operate(what string, r controller.Request) (controller.Response, error) {
	type answer struct {
		r   controller.Response
		err error
	}
	b := c.anyBoot()
	if b == nil {
		return controller.Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no broker is up")
	}
	c.w.Trace("%s: asked of m%d: %+v", what, b.m.n, r)
	got := make(chan answer, 1)
	c.do(b, operatorLimit, r, func(r controller.Response, err error) { got <- answer{r, err} })
	a := <-got
	c.turns.take(nil)
	c.w.Trace("%s: answered by m%d: %v", what, b.m.n, a.err)
	c.count(what, a.err)
	return a.r, a.err
}

// count notes how an operation ended.
func (c *Cluster) count(what string, err error) {
	c.report.Operations[what+" "+[]string{check.Info: "info", check.OK: "ok", check.Fail: "fail"}[outcome(err)]]++
}

// outcome is what an answer tells of its request: that it had no effect is told by two kinds of errors.
func outcome(err error) check.Outcome {
	if err == nil {
		return check.OK
	}
	switch runnelv1.AsError(err).GetKind() {
	case runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE:
		return check.Fail
	}
	return check.Info
}

// anySlot draws a partition.
func (c *Cluster) anySlot() *slot {
	return c.clients.slots[c.w.Rand().Int64N(int64(len(c.clients.slots)))]
}

// someBrokers draws three brokers that are up.
func (c *Cluster) someBrokers() (ids []int32) {
	for _, m := range c.machines {
		if m.up != nil && m.up.ready && m.up.id != c.operators.draining {
			ids = append(ids, m.up.id)
		}
	}
	for i := range ids {
		j := i + int(c.w.Rand().Int64N(int64(len(ids)-i)))
		ids[i], ids[j] = ids[j], ids[i]
	}
	return ids[:min(3, len(ids))]
}

func (c *Cluster) movePartition() {
	s := c.anySlot()
	if to := c.someBrokers(); len(to) == 3 {
		_, _ = c.operate("move", controller.MovePartition{Topic: s.topic, Partition: s.number, Brokers: to, Reason: "an operator"}) // counted
	}
}

func (c *Cluster) cancelMove() {
	s := c.anySlot()
	_, _ = c.operate("cancel", controller.CancelMove{Topic: s.topic, Partition: s.number}) // counted
}

func (c *Cluster) transferLeader() {
	s := c.anySlot()
	t := c.newest().Topics[s.topic]
	if t == nil || int(s.number) >= len(t.Partitions) {
		return
	}
	rs := t.Partitions[s.number].Replicas
	to := rs[c.w.Rand().Int64N(int64(len(rs)))].Broker
	_, _ = c.operate("transfer", controller.TransferLeadership{Topic: s.topic, Partition: s.number, To: to}) // counted
}

// drain empties a broker for a while. One at a time: the rest must be able to hold everything.
func (c *Cluster) drain() {
	o := &c.operators
	ids := c.someBrokers()
	if o.draining != 0 || len(ids) == 0 {
		return
	}
	o.draining = ids[0]
	_, _ = c.operate("drain", controller.SetDraining{Broker: o.draining, Draining: true}) // counted; if it is unsure it is taken back all the same
	c.sleep(time.Duration(500+c.w.Rand().Int64N(2500)) * time.Millisecond)
	c.undrain()
}

// undrain takes a drain back, however often it must be asked for.
func (c *Cluster) undrain() {
	o := &c.operators
	for o.ctx.Err() == nil {
		if b := c.newest().Brokers[o.draining]; b == nil { // its disk was wiped, and it was removed
			break
		}
		if _, err := c.operate("undrain", controller.SetDraining{Broker: o.draining}); err == nil {
			break
		}
		c.sleep(joinEvery)
	}
	o.draining = 0
}

func (c *Cluster) addPartition() {
	name := fmt.Sprintf("main%d", c.w.Rand().Int64N(int64(len(mains))))
	t := c.newest().Topics[name]
	if t == nil || len(t.Partitions) >= maxPartitions {
		return
	}
	if _, err := c.operate("add partition", controller.AddPartitions{Topic: name, Partitions: len(t.Partitions) + 1}); err == nil {
		c.startSlots(c.findSlots())
	}
}

// alterTopic changes a setting that changes no promise which is checked.
func (c *Cluster) alterTopic() {
	bytes := fmt.Sprint(131072 + c.w.Rand().Int64N(65536))
	_, _ = c.operate("alter", controller.AlterTopicConfig{Name: "main1", Set: map[string]string{"retention.bytes": bytes}}) // counted
}

func (c *Cluster) changeFactor() {
	rf := 3
	if t := c.newest().Topics["main0"]; t != nil && t.ReplicationFactor() == 3 && len(c.someBrokers()) > 3 {
		rf = 4
	}
	_, _ = c.operate("replication factor", controller.SetReplicationFactor{Topic: "main0", RF: rf}) // counted
}

// removeWiped has a broker removed whose disk is gone, as soon as its replicas are replaced.
func (c *Cluster) removeWiped(m *machine, id int32) {
	c.start(nil, func() {
		c.operators.busy++
		defer func() { c.operators.busy-- }()
		for c.sleep(time.Second) {
			if c.newest().Brokers[id] == nil {
				break
			}
			if _, err := c.operate("remove", controller.RemoveBroker{Broker: id}); err == nil {
				break
			}
		}
		m.was = slices.DeleteFunc(m.was, func(x int32) bool { return x == id })
	})
}
