package agent

import (
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/placement/ask"
	"github.com/runnel-io/runnel/placement/controller"
)

// Whoever is asked tells which other broker leads, and of one that is gone none does.
func TestStatusTellsWhomTheReplicasFollow(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	c.do(c.node(1), controller.CreateTopic{Name: "t", Partitions: 1, RF: 2})
	c.await("a leader", func() (bool, string) { return c.led("t", 1) })
	p := c.node(1).ctrl.State().Topics["t"].Partitions[0]
	status := func(id int32) ask.StatusResponse {
		return c.node(id).agent.report(ask.StatusRequest{Groups: []uint64{p.Group}})
	}
	lead, follows := int32(0), int32(0)
	c.await("one leads and the other follows it", func() (bool, string) {
		lead, follows = p.Replicas[0].Broker, p.Replicas[1].Broker
		if _, leads := status(follows).Groups[p.Group]; leads {
			lead, follows = follows, lead
		}
		mine, others := status(lead), status(follows)
		_, leads := mine.Groups[p.Group]
		return leads && len(mine.Leaders) == 0 && others.Leaders[p.Group] == lead, fmt.Sprintf("%+v and %+v", mine, others)
	})
	c.node(lead).stop()
	c.await("nobody is followed", func() (bool, string) {
		r := status(follows)
		return r.Leaders != nil && len(r.Leaders) == 0, fmt.Sprintf("%+v", r)
	})
}
