package controller

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

// crowd is a loop of brokers with partitions of a topic "a" on some, each with a move asked for by hand, and one partition z/0 on brokers 1, 4
// and 5 whose replica on broker 5 is quarantined.
type crowd struct {
	*loop
	install ask.Install     // how far each new replica is
	led     map[string]bool // the topics whose partitions have leaders in session that this broker knows
}

// newCrowd has a move for each of the places of topic a, of its last replica to the broker of the same index in to, in a phase.
func newCrowd(t *testing.T, brokers int, places [][]int32, to []int32, phase placement.Phase) *crowd {
	s := population(t, brokers, 0)
	apply := func(c placement.Command) {
		next, _, err := placement.Apply(s, c)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	apply(placement.CreateTopic{Name: "a", Brokers: places})
	apply(placement.CreateTopic{Name: "z", Brokers: [][]int32{{1, 4, 5}}})
	a := s.Topics["a"]
	for n := range places {
		move := s.NextMove
		apply(placement.ProposeMove{
			Topic: "a", Partition: int32(n), AddBrokers: []int32{to[n]}, Removes: []uint64{a.Partitions[n].Replicas[2].ID}, Kind: placement.KindManual,
		})
		if phase != placement.PhaseProposed {
			apply(placement.AdvanceMove{TopicID: a.ID, Partition: int32(n), Move: move, From: placement.PhaseProposed, To: phase})
		}
	}
	c := &crowd{loop: newLoop(t, s, func(c *Config) { c.Automatic = true }), led: map[string]bool{"a": true, "z": true}}
	sick, _ := s.Topics["z"].Partitions[0].On(5)
	c.leader = func(group uint64) (int32, uint64, bool) {
		p, name := find(c.State(), group)
		return p.Replicas[0].Broker, 1, c.led[name[:1]]
	}
	c.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		if method != ask.MethodStatus {
			return nil, notLeading(broker)
		}
		req, err := ask.Decode[ask.StatusRequest](body)
		resp := ask.StatusResponse{Boot: 1, Revision: c.state.Revision, Installs: map[uint64]ask.Install{}}
		for _, id := range req.Installs {
			resp.Installs[id] = c.install
		}
		if broker == 5 {
			resp.Quarantined = map[uint64]string{sick.ID: "fsync failed"}
		}
		return ask.Encode(resp), err
	}
	return c
}

// phases counts the moves of topic a by phase.
func (c *crowd) phases() map[placement.Phase]int {
	out := map[placement.Phase]int{}
	for _, p := range c.state.Topics["a"].Partitions {
		if p.Move != nil {
			out[p.Move.Phase]++
		}
	}
	return out
}

func (c *crowd) healing() *placement.Move { return c.state.Topics["z"].Partitions[0].Move }

// same is n times the same.
func same[V any](n int, v V) (out []V) {
	for range n {
		out = append(out, v)
	}
	return out
}

// The partitions of two moves to broker 6 have lost their majorities. All other brokers have more, so what heals goes to broker 6 too.
func TestMovesThatStandStillHoldNoPlaceOnTheBrokerTheyGoTo(t *testing.T) {
	c := newCrowd(t, 6, [][]int32{{2, 3, 1}, {3, 2, 1}}, []int32{6, 6}, placement.PhaseInstalling)
	c.silent[2], c.silent[3] = true, true
	c.run(10 * time.Minute)
	if m := c.healing(); m == nil || m.Adds[0].Broker != 6 || m.Phase != placement.PhaseInstalling {
		t.Errorf("after ten minutes the move of z/0 is %+v", m)
	}
}

// Eight moves, as many as may be at a time, wait for leaders that their groups do not have, though all brokers are heard.
func TestMovesThatAreStuckKeepNothingFromBeingPlanned(t *testing.T) {
	c := newCrowd(t, 9, same(8, []int32{2, 3, 1}), []int32{6, 6, 7, 7, 8, 8, 9, 9}, placement.PhaseInstalling)
	c.install = ask.Install{State: ask.InstallDone}
	c.led["a"] = false
	c.run(stuckAfter / 2)
	if m := c.healing(); m != nil && m.Phase != placement.PhaseProposed {
		t.Fatalf("eight moves are under way, and a ninth has begun: %+v", m)
	}
	c.run(3 * stuckAfter)
	if m := c.healing(); m == nil || m.Phase == placement.PhaseProposed {
		t.Errorf("the eight moves have been stuck for minutes, and that of z/0 is %+v", m)
	}
}

// Others may take hours to get there. If these let more begin each minute, all would be begun by then.
func TestMovesThatWaitForTheirTurnHoldTheirPlace(t *testing.T) {
	c := newCrowd(t, 9, same(10, []int32{2, 3, 1}), same(10, int32(6)), placement.PhaseProposed)
	c.install = ask.Install{State: ask.InstallWaiting}
	c.run(5 * stuckAfter)
	if n := c.phases(); n[placement.PhaseInstalling] != 2 || n[placement.PhaseProposed] != 8 {
		t.Errorf("broker 6 gets two replicas at a time, and the moves to it are %v", n)
	}
}

// An operator has asked for 40 moves to broker 6, which takes two at a time. Brokers 7 and 8 have nothing to do.
func TestMovesThatAreQueuedKeepNothingFromBeingHealed(t *testing.T) {
	c := newCrowd(t, 8, same(40, []int32{2, 3, 1}), same(40, int32(6)), placement.PhaseProposed)
	c.install = ask.Install{State: ask.InstallReceiving, Done: 1, Total: 1 << 40}
	c.run(time.Minute)
	if m := c.healing(); m == nil || m.Phase != placement.PhaseInstalling || m.Adds[0].Broker == 6 {
		t.Errorf("a minute after its replica failed the move of z/0 is %+v", m)
	}
	if n := c.phases(); n[placement.PhaseInstalling] != 2 {
		t.Errorf("the others are %v", n)
	}
}

// An operator has asked for 40 moves, of which eight have begun. Whenever one is over, what heals begins first, and then the next of them.
func TestWhatHealsOvertakesWhatIsQueued(t *testing.T) {
	var to []int32
	for range 10 {
		to = append(to, 6, 7, 8, 9)
	}
	c := newCrowd(t, 9, same(40, []int32{2, 3, 1}), to, placement.PhaseProposed)
	c.install = ask.Install{State: ask.InstallReceiving, Done: 1, Total: 1 << 40}
	c.run(time.Minute)
	m := c.healing()
	if n := c.phases(); n[placement.PhaseInstalling] != 8 || m == nil || m.Phase != placement.PhaseProposed {
		t.Fatalf("the moves are %v, and what heals is %+v", n, m)
	}
	a := c.state.Topics["a"]
	for n := range a.Partitions {
		p := &a.Partitions[n]
		if p.Move.Phase != placement.PhaseInstalling {
			continue
		}
		// The shortest way to end it.
		end := placement.RecordRecovery{TopicID: a.ID, Partition: int32(n), Kept: p.Replicas[0].ID, Lost: []uint64{p.Replicas[1].ID, p.Replicas[2].ID, p.Move.Adds[0].ID}}
		if err := c.submit(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		break
	}
	c.run(time.Second)
	if n := c.phases(); n[placement.PhaseInstalling] != 7 || c.healing().Phase != placement.PhaseInstalling {
		t.Errorf("after one is over the moves are %v, and what heals is %+v", n, c.healing())
	}
}

// Eight moves waited for their turn, were installed between two looks, and their leaders have refused the next step ever since.
func TestMovesThatHadTheirTurnAreStuckLikeOthers(t *testing.T) {
	c := newCrowd(t, 9, same(8, []int32{2, 3, 1}), []int32{6, 6, 7, 7, 8, 8, 9, 9}, placement.PhaseInstalling)
	c.install = ask.Install{State: ask.InstallWaiting}
	quiet := c.answer
	c.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		out, err := quiet(broker, method, body)
		if err != nil || broker != 2 {
			return out, err
		}
		req, err := ask.Decode[ask.StatusRequest](body)
		resp, _ := ask.Decode[ask.StatusResponse](out)
		resp.Groups = map[uint64]ask.Group{}
		for _, group := range req.Groups {
			if p, name := find(c.state, group); name[:1] == "a" {
				resp.Groups[group] = ask.Group{Replica: p.Replicas[0].ID, Term: 1, Voters: []uint64{p.Replicas[0].ID, p.Replicas[1].ID, p.Replicas[2].ID}}
			}
		}
		return ask.Encode(resp), err
	}
	c.run(stuckAfter / 2)
	c.install = ask.Install{State: ask.InstallDone}
	c.run(3 * stuckAfter)
	if m := c.healing(); m == nil || m.Phase == placement.PhaseProposed {
		t.Errorf("the eight moves have been stuck for minutes, and that of z/0 is %+v", m)
	}
}

// An operator has asked for 40 moves to broker 6. If those that do not get on let others begin, all 40 would hold places once they can.
func TestMovesThatDoNotGetOnLetNoCrowdBegin(t *testing.T) {
	for name, harm := range map[string]func(c *crowd){
		"their partitions have no leaders":  func(c *crowd) { c.led["a"] = false },
		"their partitions have no majority": func(c *crowd) { c.silent[2], c.silent[3] = true, true },
	} {
		c := newCrowd(t, 8, same(40, []int32{2, 3, 1}), same(40, int32(6)), placement.PhaseProposed)
		c.install = ask.Install{State: ask.InstallDone}
		harm(c)
		c.run(10 * stuckAfter)
		if n := c.phases(); n[placement.PhaseInstalling] > 2 {
			t.Errorf("%s, and the moves are %v", name, n)
		}
	}
}

// Sources whose disks hang say nothing of the broker that asks them: it may be the only place where others can heal.
func TestABrokerIsNotToBlameForSourcesThatGiveNothing(t *testing.T) {
	c := newCrowd(t, 6, same(2, []int32{2, 3, 1}), []int32{6, 6}, placement.PhaseInstalling)
	c.install = ask.Install{State: ask.InstallWaiting, Err: "broker 2 gives nothing", Stalled: true}
	c.run(2 * failsFor)
	if why := c.d.brokers[6].refuses(c.now); why != "" {
		t.Errorf("broker 6 takes no more: %s", why)
	}
	if n := c.phases(); n[placement.PhaseInstalling] != 2 {
		t.Errorf("the moves are %v", n)
	}
}
