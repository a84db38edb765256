package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/runnel-io/runnel/gossip"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// When the majority of the controller group was given up by hand (brokerd controller recover), one replica goes on alone and its group grows
// anew. A broker of the lost ones that comes back all the same has a replica of the old group, and a majority of them would be a
// second controller of the cluster. So no such replica is started while a broker that knows of the recovery can be asked; and one that runs, since
// none could, is stopped as soon as the new leader reaches it. Its broker then gets a replica of the new group.

const (
	// methodGivenUp asks whether a replica of the controller group was given up, methodRecovered tells of the recovery.
	methodGivenUp   = "controller.given_up"
	methodRecovered = "controller.recovered"
	// givenUpWithin bounds such a call: whoever answers has it at hand.
	givenUpWithin = time.Second
)

// givenUpQuestion asks for a replica, givenUpAnswer answers.
type givenUpQuestion struct {
	Replica uint64 `json:"replica"`
}

type givenUpAnswer struct {
	GivenUp  bool                         `json:"given_up"`
	Recovery placement.ControllerRecovery `json:"recovery"`
}

// givenUp is the newest recovery of the group that a broker was told of while its own replica does not know of it.
type givenUp struct {
	mu       sync.Mutex
	recovery placement.ControllerRecovery
	by       int32 // the broker that told, 0 if none did
}

func (g *givenUp) told(by int32, r placement.ControllerRecovery) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.by, g.recovery = by, r
}

// of tells who said that a replica was given up, 0 if nobody did.
func (g *givenUp) of(replica uint64) int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by == 0 || !g.recovery.GivesUp(replica) {
		return 0
	}
	return g.by
}

func saidGivenUp(by int32) string {
	return fmt.Sprintf("broker %d says that it was given up by a recovery of the controller group", by)
}

// logRecovery is the newest recovery that the log of this broker's replica knew of when that was read last.
type logRecovery struct {
	replica  uint64
	recovery placement.ControllerRecovery
	ok       bool
}

// recoveredIn reads what the log of this broker's replica, which does not run, knows of recoveries. It is read once.
func (b *Broker) recoveredIn(replica uint64) (*logRecovery, error) {
	if l := b.logged.Load(); l != nil && l.replica == replica {
		return l, nil
	}
	r, ok, err := controller.RecoveredOffline(b.store, replica)
	if err != nil {
		return nil, err
	}
	l := &logRecovery{replica, r, ok}
	b.logged.Store(l)
	return l, nil
}

// readRecovery does so at the start, before anyone can ask.
func (b *Broker) readRecovery() {
	held, lost := b.heldController()
	if held == 0 || lost != "" {
		b.logged.Store(&logRecovery{}) // no log that can be read
		return
	}
	if _, err := b.recoveredIn(held); err != nil { // to open it will say so, too
		b.log.Warn("the controller's log cannot be read for recoveries by hand", "component", "broker", "replica", held, "error", err)
	}
}

// recovered is the newest recovery of the group that this broker's own replica knows of, applied or not.
func (b *Broker) recovered() (placement.ControllerRecovery, bool) {
	r, ok := b.state().ControllerRecovered()
	if l := b.logged.Load(); l != nil && l.ok && l.recovery.Below > r.Below {
		return l.recovery, true
	}
	return r, ok
}

// serveGivenUp answers whether a replica was given up, also before this broker's own is open: those that start together with it ask only then.
func (b *Broker) serveGivenUp(body []byte) ([]byte, error) {
	var q givenUpQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, unreadable(err)
	}
	if b.logged.Load() == nil {
		return nil, errStarting
	}
	r, ok := b.recovered()
	return json.Marshal(givenUpAnswer{GivenUp: ok && r.GivesUp(q.Replica), Recovery: r})
}

func unreadable(err error) error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "the request is not readable: %v", err)
}

// serveRecovered takes in that the group was recovered, and answers whether this broker's replica was given up by that.
func (b *Broker) serveRecovered(c *core, from int32, body []byte) ([]byte, error) {
	var r placement.ControllerRecovery
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, unreadable(err)
	}
	own, _ := b.heldController()
	if !r.GivesUp(own) {
		return json.Marshal(givenUpAnswer{})
	}
	if mine, ok := c.ctl.State().ControllerRecovered(); ok && mine.Kept == own && !follows(r, mine) {
		b.log.Error("the controller group was recovered by hand on two brokers, and each goes on without the other: stop the broker that is not to go on, and start it with an empty data folder",
			"component", "broker", "broker", b.ID(), "other_broker", from)
		return json.Marshal(givenUpAnswer{})
	}
	b.given.told(from, r)
	if own == 0 { // nothing of it was given up, but it must take none of the old group either
		return json.Marshal(givenUpAnswer{})
	}
	c.lookAtOnce()
	return json.Marshal(givenUpAnswer{GivenUp: true})
}

// follows tells whether a recovery was made by a replica of the group that an earlier one had begun: the second loss of a cluster, and no second
// word on the first.
func follows(r, earlier placement.ControllerRecovery) bool {
	return r.Kept >= earlier.Below && r.Revision > earlier.Revision
}

// askAllGivenUp asks at a start whether a replica was given up: whoever the seeds know of, and answers who says so, 0 if nobody does.
func (b *Broker) askAllGivenUp(ctx context.Context, replica uint64) int32 {
	peers := func() (ids []int32) {
		for _, m := range b.gossip.Members() {
			if b.isPeer(m) {
				ids = append(ids, m.BrokerID)
			}
		}
		return ids
	}
	askEach(ctx, peers, b.changes.changed, b.gossip.Tried(), func(ctx context.Context, id int32) bool { return b.askGivenUp(ctx, replica, id) })
	return b.given.of(replica)
}

// askEach asks each broker as it is heard of, until one says yes, or all have answered and no more are expected. It takes givenUpWithin at most:
// neither a seed nor a broker that hangs may hold up every start.
func askEach(ctx context.Context, heard func() []int32, changed func() <-chan struct{}, allHeard <-chan struct{}, ask func(context.Context, int32) bool) {
	ctx, cancel := context.WithTimeout(ctx, givenUpWithin)
	defer cancel()
	var asking sync.WaitGroup
	asked := map[int32]bool{}
	for more := true; more; {
		next := changed()
		select {
		case <-allHeard:
			more = false
		default:
		}
		for _, id := range heard() {
			if asked[id] {
				continue
			}
			asked[id] = true
			asking.Go(func() {
				if ask(ctx, id) {
					cancel() // one is enough
				}
			})
		}
		if !more {
			break
		}
		select {
		case <-next:
		case <-allHeard:
		case <-ctx.Done():
			more = false
		}
	}
	asking.Wait()
}

// isPeer tells whether a member is another broker of this cluster.
func (b *Broker) isPeer(m gossip.Member) bool {
	self := b.store.Identity()
	return m.ClusterID == self.ClusterID && m.BrokerID != 0 && m.BrokerID != self.BrokerID
}

// askGivenUp asks one broker whether a replica was given up, and keeps what it says.
func (b *Broker) askGivenUp(ctx context.Context, replica uint64, broker int32) bool {
	a, err := b.askRecovery(ctx, replica, broker)
	return err == nil && b.believe(a, replica, broker)
}

// believe keeps what a broker answered about a replica, if it says that it was given up and by what.
func (b *Broker) believe(a givenUpAnswer, replica uint64, broker int32) bool {
	if !a.GivenUp || !a.Recovery.GivesUp(replica) {
		return false
	}
	b.given.told(broker, a.Recovery)
	return true
}

// askRecovery asks one broker for the newest recovery of the group that it knows of, and whether that gave a replica up.
func (b *Broker) askRecovery(ctx context.Context, replica uint64, broker int32) (a givenUpAnswer, err error) {
	body, err := json.Marshal(givenUpQuestion{Replica: replica})
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, givenUpWithin)
	defer cancel()
	out, err := b.peers.Call(ctx, broker, methodGivenUp, body)
	if err != nil {
		return a, err
	}
	return readGivenUp(out)
}

// readGivenUp reads an answer; of one that is not readable nothing counts.
func readGivenUp(out []byte) (givenUpAnswer, error) {
	var a givenUpAnswer
	if err := json.Unmarshal(out, &a); err != nil {
		return givenUpAnswer{}, fmt.Errorf("the answer about the controller group's recovery is not readable: %w", err)
	}
	return a, nil
}

// tellRecovered is the new leader's part: it tells every broker that has no replica of the group of the recovery. It answers whether there is any,
// which has to be told again until it has one; while no leader is known, this broker may be it.
func (b *Broker) tellRecovered(ctx context.Context, c *core) (untold bool) {
	s, lead := c.ctl.State(), c.ctl.Leader()
	r, ok := s.ControllerRecovered()
	if !ok || lead != 0 && lead != b.ID() {
		return false
	}
	body, err := json.Marshal(r)
	if err != nil {
		return false
	}
	in := map[int32]bool{}
	for _, r := range s.Controller {
		in[r.Broker] = true
	}
	ctx, cancel := context.WithTimeout(ctx, givenUpWithin)
	defer cancel()
	var telling sync.WaitGroup
	for _, m := range b.gossip.Members() {
		if !b.isPeer(m) || in[m.BrokerID] {
			continue
		}
		if untold = true; lead == 0 {
			break
		}
		telling.Go(func() {
			out, err := b.peers.Call(ctx, m.BrokerID, methodRecovered, body)
			if err != nil {
				return
			}
			if a, err := readGivenUp(out); err == nil && a.GivenUp {
				b.log.Warn("a broker whose replica of the controller group was given up by hand is back, and gets another one", "component", "broker", "broker", m.BrokerID)
			}
		})
	}
	telling.Wait()
	return untold
}
