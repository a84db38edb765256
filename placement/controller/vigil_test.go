package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// watched is a loop with a vigil of t0/0, which is on brokers 1, 2 and 3. Nobody says that it leads.
type watched struct {
	*loop
	lead map[int32]int32 // which broker leads, by the word of another
	old  map[int32]bool  // brokers whose release does not tell that
}

func newWatched(t *testing.T, s *placement.State) *watched {
	w := &watched{loop: newLoop(t, s, nil), lead: map[int32]int32{}, old: map[int32]bool{}}
	w.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		if method != ask.MethodStatus {
			return nil, notLeading(broker)
		}
		req, err := ask.Decode[ask.StatusRequest](body)
		resp := ask.StatusResponse{Boot: 1, Revision: w.state.Revision}
		if !w.old[broker] {
			resp.Leaders = map[uint64]int32{}
			for _, group := range req.Groups {
				if b := w.lead[broker]; b != 0 {
					resp.Leaders[group] = b
				}
			}
		}
		return ask.Encode(resp), err
	}
	w.led()
	return w
}

// led tells for how long there has been no leader, and what speaks for one.
func (w *watched) led() (time.Duration, string) {
	return w.d.vigils.keep(loopClock{w.loop}.Now(), w.state.Topics["t0"], 0)
}

func (w *watched) wantIdle(what string, least, most time.Duration) {
	w.t.Helper()
	if d, seen := w.led(); d < least || d > most {
		w.t.Errorf("%s: there has been no leader for %s (%q), want %s to %s", what, d, seen, least, most)
	}
}

func TestRule30ALeaderThatOnlyOthersHearIsOne(t *testing.T) {
	w := newWatched(t, population(t, 3, 1))
	w.silent[3], w.lead[2] = true, 3
	w.run(5 * time.Minute)
	w.wantIdle("broker 2 follows broker 3", 0, time.Second)
	if _, seen := w.led(); !strings.Contains(seen, "broker 2 says that broker 3 leads it") {
		t.Errorf("it says %q", seen)
	}
	delete(w.lead, 2) // broker 3 died: its follower has none any more
	w.run(stuckFor + 5*time.Second)
	w.wantIdle("broker 2 follows nobody", stuckFor, 2*stuckFor)
	w.silent[3] = false
	w.run(10 * time.Second)
	w.wantIdle("broker 3 is back and does not lead", stuckFor, 2*stuckFor)
	w.lead[2] = 3 // it has been elected, and is not in session: it says so itself
	w.run(10 * time.Second)
	w.wantIdle("broker 3 tells that it does not lead in session", stuckFor, 2*stuckFor)
}

func TestAReleaseThatDoesNotTellWhomItFollowsRulesNoSilentLeaderOut(t *testing.T) {
	w := newWatched(t, population(t, 3, 1))
	w.old[2] = true
	w.run(90 * time.Second)
	w.wantIdle("all brokers are asked themselves", stuckFor, 2*stuckFor)
	w.silent[3] = true
	w.run(5 * time.Minute)
	w.wantIdle("broker 2 may follow broker 3", 0, time.Second)
}

// In phase joint the old voters may be without the others, as far as anybody knows here.
func TestSilentBrokersThatMayBeAMajorityAreGoneOnlyAfterAWhile(t *testing.T) {
	s := population(t, 5, 1)
	p := &s.Topics["t0"].Partitions[0]
	p.Move = &placement.Move{
		ID: 9, Phase: placement.PhaseJoint, Adds: []placement.Replica{{ID: 91, Broker: 4}, {ID: 92, Broker: 5}},
		Removes: []uint64{p.Replicas[1].ID, p.Replicas[2].ID}, Order: []uint64{p.Replicas[0].ID, 91, 92},
	}
	w := newWatched(t, s)
	w.run(time.Minute)
	w.silent[2], w.silent[3] = true, true
	w.run(recoverAfter - 2*time.Second)
	w.wantIdle("broker 2 and 3 fell silent", 0, time.Second)
	w.run(stuckFor + 5*time.Second)
	w.wantIdle("broker 2 and 3 are silent for good", stuckFor, 2*stuckFor)
}

func TestAVigilDoesNotCountWhatNobodyWatched(t *testing.T) {
	w := newWatched(t, population(t, 3, 1))
	w.run(20 * time.Second)
	w.silent[2], w.silent[3] = true, true
	w.run(20 * time.Second)
	w.silent[2], w.silent[3] = false, false
	w.run(10 * time.Second)
	w.wantIdle("two brokers were silent until ten seconds ago", 5*time.Second, 11*time.Second)
	w.now = w.now.Add(vigilFor / 2) // and the loop did not run
	w.wantIdle("the controller stood still for minutes", 5*time.Second, 11*time.Second)
	w.run(0)
	w.wantIdle("it goes on", 0, 0)
}

// A request begins the vigil just after the loop has looked at the clock, and before it judges.
func TestAVigilGoesOnFromWhenItBegan(t *testing.T) {
	w := newWatched(t, population(t, 3, 1))
	w.run(stuckFor)
	before, _ := w.led()
	w.d.vigils.judge(w.now.Add(-time.Millisecond), w.state, w.d.hearing, recoverAfter)
	if d, seen := w.led(); before < stuckFor || d != before {
		t.Errorf("after a pass that began earlier there has been no leader for %s (%q), %s before", d, seen, before)
	}
}

// The link between the controller's broker and the leader's is cut, and no other.
func TestRule30RecoveryIsRefusedWhereOnlyTheControllerDoesNotHearTheLeader(t *testing.T) {
	_, nodes, a := driven(t, 4, nil)
	n := nodes[0]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	p := partitionOf(n, "t", 0)
	keep, lead := p.Replicas[0], p.Replicas[1]
	if lead.Broker == 1 {
		keep, lead = lead, keep
	}
	a.leaderOf(p.Group)
	a.set(func() { a.groups[p.Group].leader, a.unheard[lead.Broker] = lead.ID, true })
	req := RecoverPartition{Topic: "t", Keep: keep.Broker, Ask: true}
	eventually(t, func() bool {
		_, err := n.c.Do(t.Context(), req)
		e := runnelv1.AsError(err)
		return e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE && strings.Contains(e.GetMessage(), "leads it, which the controller does not hear")
	})
}

// The only replica is kept, its group is led for a while and stuck anew. Whoever only repeats the request is told that it was done.
func TestRule30AnOnlyReplicaIsRecoveredEachTimeItsGroupIsStuck(t *testing.T) {
	_, nodes, a := driven(t, 4, nil)
	n := nodes[0]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: 1})
	p := partitionOf(n, "t", 0)
	a.set(func() { a.stuck[p.Group] = true })
	req := RecoverPartition{Topic: "t", Keep: p.Replicas[0].Broker}
	recover := func() uint64 {
		t.Helper()
		do(t, n.c, req)
		return partitionOf(n, "t", 0).Recovered
	}
	aMinuteGoesBy := func() {
		x := &n.c.driving().vigils
		x.mu.Lock()
		defer x.mu.Unlock()
		x.by[p.Group].since = x.by[p.Group].since.Add(-stuckFor)
	}
	refused(t, n, req, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE)
	aMinuteGoesBy()
	first := recover()
	if again := recover(); first == 0 || again != first {
		t.Fatalf("recovered at revision %d, and asked for again at %d", first, again)
	}
	aMinuteGoesBy()
	second := recover()
	if second <= first || n.c.State().Level() != 3 {
		t.Fatalf("recovered at revision %d, and stuck anew at %d, level %d", first, second, n.c.State().Level())
	}
	a.set(func() { delete(a.stuck, p.Group) })
	if again := recover(); again != second || len(n.c.State().Recoveries) != 2 {
		t.Errorf("it has a leader, and was recovered at revision %d, recoveries %+v", again, n.c.State().Recoveries)
	}
	a.set(func() { a.silent[p.Replicas[0].Broker] = p.Replicas[0].Broker != 1 })
	if again := recover(); again != second {
		t.Errorf("its broker is silent, and it was recovered at revision %d", again)
	}
}
