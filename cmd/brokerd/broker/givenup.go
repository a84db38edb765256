package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/gossip"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// When the majority of the controller group was given up by hand (brokerd controller recover), one replica goes on alone and its group grows
// anew. A broker of the lost ones that comes back all the same has a replica of the old group, and a majority of them would be a
// second controller of the cluster. So no such replica is started while a broker that knows of the recovery can be asked; and one that runs, since
// none could, is stopped as soon as the new leader reaches it. Its broker then gets a replica of the new group.

const (
	// methodGivenUp asks whether a replica of the controller group was given up, methodWasGivenUp tells that it was.
	methodGivenUp    = "controller.given_up"
	methodWasGivenUp = "controller.was_given_up"
	// givenUpWithin bounds such a call: whoever answers has it at hand.
	givenUpWithin = time.Second
)

type givenUpMessage struct {
	Replicas []uint64 `json:"replicas,omitempty"` // asked for, or told
	GivenUp  bool     `json:"given_up,omitempty"` // the answer
}

// givenUp is what a broker was told of its own replica.
type givenUp struct {
	mu   sync.Mutex
	lost []uint64
	by   int32 // the broker that said so last, 0 if none did
}

func (g *givenUp) told(by int32, lost []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.by = by
	for _, id := range lost {
		if !slices.Contains(g.lost, id) && len(g.lost) < maxGivenUp {
			g.lost = append(g.lost, id)
		}
	}
}

// maxGivenUp bounds what is kept of what others say.
const maxGivenUp = 10_000

// of tells who said that a replica was given up, 0 if nobody did.
func (g *givenUp) of(replica uint64) int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(g.lost, replica) {
		return 0
	}
	return g.by
}

func (g *givenUp) teller() int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.by
}

func saidGivenUp(by int32) string {
	return fmt.Sprintf("broker %d says that it was given up by a recovery of the controller group", by)
}

// serveGivenUp answers both methods.
func (b *Broker) serveGivenUp(c *core, from int32, method string, body []byte) ([]byte, error) {
	var q givenUpMessage
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "the request is not readable: %v", err)
	}
	if method == methodGivenUp {
		lost := c.ctl.State().LostControllers()
		others := slices.ContainsFunc(q.Replicas, func(id uint64) bool { return !slices.Contains(lost, id) })
		return json.Marshal(givenUpMessage{GivenUp: !others && len(q.Replicas) > 0})
	}
	own, _ := b.heldController()
	if !slices.Contains(q.Replicas, own) {
		return json.Marshal(givenUpMessage{})
	}
	if r := c.ctl.State().ControllerRecoveries; len(r) > 0 && r[len(r)-1].Kept == own {
		b.log.Error("the controller group was recovered by hand on two brokers, and each goes on without the other: stop the broker that is not to go on, and start it with an empty data folder",
			"component", "broker", "broker", b.ID(), "other_broker", from)
		return json.Marshal(givenUpMessage{})
	}
	b.given.told(from, q.Replicas)
	select {
	case c.ownStopped <- struct{}{}: // keepController looks at once
	default:
	}
	return json.Marshal(givenUpMessage{GivenUp: true})
}

// askGivenUp asks the brokers that are heard of whether a replica was given up, and answers who says so, 0 if nobody does.
func (b *Broker) askGivenUp(ctx context.Context, replica uint64, members []gossip.Member) int32 {
	body, err := json.Marshal(givenUpMessage{Replicas: []uint64{replica}})
	if err != nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, givenUpWithin)
	defer cancel()
	var asking sync.WaitGroup
	said := make(chan int32, len(members))
	self := b.store.Identity()
	for _, m := range members {
		if m.ClusterID != self.ClusterID || m.BrokerID == 0 || m.BrokerID == self.BrokerID {
			continue
		}
		asking.Go(func() {
			out, err := b.peers.Call(ctx, m.BrokerID, methodGivenUp, body)
			var a givenUpMessage
			if err == nil && json.Unmarshal(out, &a) == nil && a.GivenUp {
				said <- m.BrokerID
				cancel() // one is enough
			}
		})
	}
	asking.Wait()
	select {
	case by := <-said:
		return by
	default:
		return 0
	}
}

// askAllGivenUp is askGivenUp at a start: it asks whoever the seeds know of. Seeds that do not answer are not waited for long.
func (b *Broker) askAllGivenUp(ctx context.Context, replica uint64) int32 {
	wait := time.NewTimer(givenUpWithin)
	defer wait.Stop()
	select {
	case <-b.gossip.Tried():
	case <-wait.C:
	case <-ctx.Done():
	}
	return b.askGivenUp(ctx, replica, b.gossip.Members())
}

// tellGivenUp is the new leader's part: it tells every broker whose replica is not one of the group's that its own was given up.
func (b *Broker) tellGivenUp(ctx context.Context, c *core) {
	s := c.ctl.State()
	if len(s.ControllerRecoveries) == 0 || c.ctl.Leader() != b.ID() {
		return
	}
	body, err := json.Marshal(givenUpMessage{Replicas: s.LostControllers()})
	if err != nil {
		return
	}
	in := map[int32]bool{}
	for _, r := range s.Controller {
		in[r.Broker] = true
	}
	ctx, cancel := context.WithTimeout(ctx, givenUpWithin)
	defer cancel()
	var telling sync.WaitGroup
	self := b.store.Identity()
	for _, m := range b.gossip.Members() {
		if m.ClusterID != self.ClusterID || m.BrokerID == 0 || m.BrokerID == self.BrokerID || in[m.BrokerID] {
			continue
		}
		telling.Go(func() {
			out, err := b.peers.Call(ctx, m.BrokerID, methodWasGivenUp, body)
			var a givenUpMessage
			if err == nil && json.Unmarshal(out, &a) == nil && a.GivenUp {
				b.log.Warn("a broker whose replica of the controller group was given up by hand is back, and gets another one", "component", "broker", "broker", m.BrokerID)
			}
		})
	}
	telling.Wait()
}
