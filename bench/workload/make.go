package workload

import (
	"context"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	makeEvery = 500 * time.Millisecond
	// keepMade is how many topics of a maker exist at a time.
	keepMade = 3
	// makePatience is for a call that waits for leaders, if Options do not say.
	makePatience = 5 * time.Second
)

// makeTopics creates topics under names of their own and deletes them, each once.
func (w *Workload) makeTopics(sending, all context.Context, cl *client.Client, n int) (err error) {
	defer func() { err = closed(cl, "maker", n, err) }()
	var made []string
	number := 0
	every(sending, makeEvery, func() {
		if len(made) >= keepMade {
			name := made[0]
			made = made[1:]
			w.topic(all, n, name, true, func(ctx context.Context) error {
				_, err := cl.Admin().DeleteTopic(ctx, &runnelv1.DeleteTopicRequest{Name: name})
				return err
			})
			return
		}
		name := fmt.Sprintf("made-%s-%d-%d", w.o.Topics[0].Name, n, number)
		number++
		if w.topic(all, n, name, false, func(ctx context.Context) error {
			_, err := cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: name, Partitions: 1 + int32(number)%2, ReplicationFactor: 3})
			return err
		}) == check.OK {
			made = append(made, name)
		}
	})
	return nil
}

// topic does something to a topic and records it.
func (w *Workload) topic(ctx context.Context, n int, name string, remove bool, do func(context.Context) error) check.Outcome {
	kind := OpMake
	if remove {
		kind = OpDelete
	}
	o := check.TopicOp{Client: n, Name: name, Delete: remove, Invoke: w.rec.Now()}
	call, cancel := context.WithTimeout(ctx, w.o.Making)
	defer cancel()
	err := do(call)
	o.Return = w.rec.Now()
	if o.Outcome = w.count(kind, err); err != nil {
		o.Error = err.Error()
	}
	w.rec.Topic(o)
	return o.Outcome
}
