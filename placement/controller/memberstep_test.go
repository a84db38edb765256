package controller

import (
	"reflect"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
)

// groupScene is a controller group as its leader, replica 1, sees it. Replica n is on broker n.
type groupScene struct {
	brokers                     int
	voters, learners, outgoing  []uint64
	draining, silent, lost      []int32
	behind, lacking, installing []uint64 // installing ones have no part in the state's list
	gone                        []uint64 // the state knows neither them nor a broker of theirs
	votersInState               []uint64 // as recorded; nil: those of raft
	rackOf                      map[int32]string
	unproven                    []uint64 // lack the entry that was proposed to see who writes
	noProof, oldProof           bool
}

func (c groupScene) view() memberView {
	s := placement.New()
	for id := int32(1); int(id) <= c.brokers; id++ {
		replica := uint64(id)
		if slices.Contains(c.gone, replica) {
			continue
		}
		s.Brokers[id] = &placement.Broker{ID: id, ControllerReplica: replica, Draining: slices.Contains(c.draining, id), Rack: c.rackOf[id]}
		if slices.Contains(c.installing, replica) {
			s.Brokers[id].ControllerReplica = 100 + replica
			continue
		}
		recorded := c.votersInState
		if recorded == nil {
			recorded = c.voters
		}
		s.Controller = append(s.Controller, placement.Replica{ID: replica, Broker: id, Learner: !slices.Contains(recorded, replica)})
	}
	peers := map[uint64]multiraft.PeerStatus{}
	for _, id := range slices.Concat(c.voters, c.learners, c.outgoing) {
		lacking := slices.Contains(c.lacking, id)
		p := multiraft.PeerStatus{Match: 1, RecentActive: true, CaughtUp: !lacking && !slices.Contains(c.behind, id), Behind: lacking}
		if slices.Contains(c.unproven, id) {
			p.Match = 0
		}
		peers[id] = p
	}
	proof := uint64(1)
	if c.noProof {
		proof = 0
	}
	return memberView{
		state: s, self: 1, peers: peers, proof: proof, proofOld: c.oldProof,
		conf:  &raftpb.ConfState{Voters: c.voters, Learners: c.learners, VotersOutgoing: c.outgoing},
		heard: func(b int32) bool { return !slices.Contains(c.silent, b) && !slices.Contains(c.lost, b) },
		lost:  func(b int32) bool { return slices.Contains(c.lost, b) },
	}
}

func ids(n ...uint64) []uint64 { return n }

func TestNextStep(t *testing.T) {
	voters := func(promote, demote, remove []uint64) membershipStep {
		return membershipStep{kind: stepVoters, voters: multiraft.VoterChange{Promote: promote, Demote: demote, Remove: remove}}
	}
	wait := membershipStep{kind: stepWait}
	for name, c := range map[string]struct {
		groupScene
		want membershipStep
	}{
		"alone":                          {groupScene{brokers: 1, voters: ids(1)}, membershipStep{}},
		"a new broker joins":             {groupScene{brokers: 2, voters: ids(1)}, membershipStep{kind: stepAddLearner, replica: 2, broker: 2}},
		"one that installs is awaited":   {groupScene{brokers: 2, voters: ids(1), silent: []int32{2}}, wait},
		"a learner has caught up":        {groupScene{brokers: 2, voters: ids(1), learners: ids(2)}, voters(ids(2), nil, nil)},
		"two are promoted at a time":     {groupScene{brokers: 4, voters: ids(1), learners: ids(2, 3)}, voters(ids(2, 3), nil, nil)},
		"and two more":                   {groupScene{brokers: 6, voters: ids(1, 2, 3), learners: ids(4, 5, 6)}, voters(ids(4, 5), nil, nil)},
		"of four brokers three vote":     {groupScene{brokers: 4, voters: ids(1, 2, 3), learners: ids(4)}, membershipStep{}},
		"a fourth waits for a fifth":     {groupScene{brokers: 5, voters: ids(1, 2, 3), learners: ids(4, 5), behind: ids(5)}, wait},
		"a second waits for a third":     {groupScene{brokers: 3, voters: ids(1), learners: ids(2)}, membershipStep{kind: stepAddLearner, replica: 3, broker: 3}},
		"but not for a lost one":         {groupScene{brokers: 3, voters: ids(1), learners: ids(2, 3), lost: []int32{3}}, voters(ids(2), nil, nil)},
		"two voters take a third":        {groupScene{brokers: 4, voters: ids(1, 2), learners: ids(3, 4)}, voters(ids(3), nil, nil)},
		"four take a fifth":              {groupScene{brokers: 5, voters: ids(1, 2, 3, 4), learners: ids(5)}, voters(ids(5), nil, nil)},
		"or wait for it":                 {groupScene{brokers: 5, voters: ids(1, 2, 3, 4), learners: ids(5), behind: ids(5)}, wait},
		"or become three":                {groupScene{brokers: 4, voters: ids(1, 2, 3, 4)}, voters(nil, ids(4), nil)},
		"without the one that is silent": {groupScene{brokers: 4, voters: ids(1, 2, 3, 4), silent: []int32{2}}, voters(nil, ids(2), nil)},
		"joining goes on meanwhile":      {groupScene{brokers: 3, voters: ids(1), learners: ids(2), behind: ids(2)}, membershipStep{kind: stepAddLearner, replica: 3, broker: 3}},
		"a silent learner is awaited":    {groupScene{brokers: 2, voters: ids(1), learners: ids(2), silent: []int32{2}}, wait},
		"a lost learner is not":          {groupScene{brokers: 2, voters: ids(1), learners: ids(2), lost: []int32{2}}, membershipStep{}},
		"five voters are enough":         {groupScene{brokers: 6, voters: ids(1, 2, 3, 4, 5), learners: ids(6)}, membershipStep{}},
		"a joint configuration is left":  {groupScene{brokers: 2, voters: ids(1, 2), outgoing: ids(1)}, membershipStep{kind: stepLeaveJoint}},
		"the rack without a voter first": {groupScene{brokers: 3, voters: ids(1), learners: ids(2, 3), rackOf: map[int32]string{1: "a", 2: "a", 3: "b"}}, voters(ids(3, 2), nil, nil)},
		"and then again":                 {groupScene{brokers: 5, voters: ids(1), learners: ids(2, 3, 4, 5), rackOf: map[int32]string{1: "a", 2: "a", 3: "b", 4: "b", 5: "c"}}, voters(ids(3, 5), nil, nil)},

		"a lost voter is replaced":             {groupScene{brokers: 6, voters: ids(1, 2, 3, 4, 5), learners: ids(6), lost: []int32{2}}, voters(ids(6), ids(2), nil)},
		"a silent one is not yet":              {groupScene{brokers: 6, voters: ids(1, 2, 3, 4, 5), learners: ids(6), silent: []int32{2}}, membershipStep{}},
		"nor by one that is behind":            {groupScene{brokers: 6, voters: ids(1, 2, 3, 4, 5), learners: ids(6), lost: []int32{2}, behind: ids(6)}, wait},
		"one of three lost, nobody to come":    {groupScene{brokers: 3, voters: ids(1, 2, 3), lost: []int32{2}}, wait},
		"one of four lost, nobody to come":     {groupScene{brokers: 4, voters: ids(1, 2, 3, 4), lost: []int32{2}}, voters(nil, ids(2), nil)},
		"one of five lost, nobody to come":     {groupScene{brokers: 5, voters: ids(1, 2, 3, 4, 5), lost: []int32{2}}, voters(nil, ids(2), nil)},
		"two of five lost, nobody to come":     {groupScene{brokers: 5, voters: ids(1, 2, 3, 4, 5), lost: []int32{2, 4}}, voters(nil, ids(2, 4), nil)},
		"a majority lost":                      {groupScene{brokers: 4, voters: ids(1, 2, 3), learners: ids(4), lost: []int32{2, 3}}, wait},
		"a draining voter is replaced":         {groupScene{brokers: 6, voters: ids(1, 2, 3, 4, 5), learners: ids(6), draining: []int32{3}}, voters(ids(6), ids(3), nil)},
		"a draining broker does not vote":      {groupScene{brokers: 2, voters: ids(1), learners: ids(2), draining: []int32{2}}, membershipStep{}},
		"the group shrinks":                    {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{2, 3}}, voters(nil, ids(2), nil)},
		"to one":                               {groupScene{brokers: 2, voters: ids(1, 2), draining: []int32{2}}, voters(nil, ids(2), nil)},
		"the leader last":                      {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{1, 2}}, voters(nil, ids(2), nil)},
		"but it goes":                          {groupScene{brokers: 2, voters: ids(1, 2), draining: []int32{1}}, voters(nil, ids(1), nil)},
		"somebody has to vote":                 {groupScene{brokers: 2, voters: ids(1, 2), draining: []int32{1, 2}}, wait},
		"not while a successor comes":          {groupScene{brokers: 4, voters: ids(1, 2, 3), learners: ids(4), draining: []int32{2}, behind: ids(4)}, wait},
		"a drain beside a lost one":            {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{1}, lost: []int32{2}}, voters(nil, ids(2, 1), nil)},
		"no drain below a majority":            {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{3}, silent: []int32{2}}, wait},
		"a draining lost broker need not vote": {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{2}, lost: []int32{2}}, voters(nil, ids(2), nil)},

		"of two each must have shown that it writes": {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{3}, noProof: true}, membershipStep{kind: stepProve}},
		"lately":                 {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{3}, oldProof: true}, membershipStep{kind: stepProve}},
		"who has not is awaited": {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{3}, unproven: ids(2)}, wait},
		"without end":            {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{3}, unproven: ids(2), oldProof: true}, wait},
		"who has not goes first": {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{2, 3}, unproven: ids(2)}, voters(nil, ids(2), nil)},
		"whatever its place":     {groupScene{brokers: 3, voters: ids(1, 2, 3), draining: []int32{2, 3}, unproven: ids(3)}, voters(nil, ids(3), nil)},
		"the last one too, if it is not the leader":    {groupScene{brokers: 2, voters: ids(1, 2), draining: []int32{1}, unproven: ids(2)}, wait},
		"the leader alone needs to show nothing":       {groupScene{brokers: 2, voters: ids(1, 2), draining: []int32{2}, unproven: ids(2), noProof: true}, voters(nil, ids(2), nil)},
		"a second voter has to":                        {groupScene{brokers: 2, voters: ids(1), learners: ids(2), unproven: ids(2)}, wait},
		"who leaves for a successor need not":          {groupScene{brokers: 3, voters: ids(1, 2), learners: ids(3), draining: []int32{2}, unproven: ids(2)}, voters(ids(3), ids(2), nil)},
		"of three it is not asked":                     {groupScene{brokers: 4, voters: ids(1, 2, 3, 4), noProof: true}, voters(nil, ids(4), nil)},
		"it keeps no learner from coming":              {groupScene{brokers: 4, voters: ids(1, 2, 3), draining: []int32{3, 4}, unproven: ids(2)}, membershipStep{kind: stepAddLearner, replica: 4, broker: 4}},
		"nor does it ask while the group has a change": {groupScene{brokers: 3, voters: ids(1, 2, 3), outgoing: ids(1, 2), draining: []int32{3}, noProof: true}, membershipStep{kind: stepLeaveJoint}},

		"a removed broker's learner":           {groupScene{brokers: 3, voters: ids(1, 2), learners: ids(3), gone: ids(3)}, membershipStep{kind: stepRemoveLearner, replica: 3}},
		"a removed broker's voter":             {groupScene{brokers: 3, voters: ids(1, 2, 3), gone: ids(3)}, voters(nil, nil, ids(3))},
		"a removed broker's voter, replaced":   {groupScene{brokers: 4, voters: ids(1, 2, 3), learners: ids(4), gone: ids(3)}, voters(ids(4), nil, ids(3))},
		"a learner that can never catch up":    {groupScene{brokers: 3, voters: ids(1, 2), learners: ids(3), lacking: ids(3)}, membershipStep{kind: stepReplace, replica: 3, broker: 3}},
		"a voter that can never catch up":      {groupScene{brokers: 3, voters: ids(1, 2, 3), lacking: ids(3)}, membershipStep{kind: stepReplace, replica: 3, broker: 3}},
		"not while its broker is silent":       {groupScene{brokers: 3, voters: ids(1, 2, 3), lacking: ids(3), silent: []int32{3}}, membershipStep{}},
		"it stays until its successor is here": {groupScene{brokers: 3, voters: ids(1, 2, 3), installing: ids(3)}, wait},
	} {
		got := nextStep(c.view())
		if got.kind == stepVoters && got.reason == "" {
			t.Errorf("%s: no reason", name)
		}
		got.reason = ""
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	v := groupScene{}.view()
	if v.conf = nil; nextStep(v).kind != stepWait {
		t.Error("without a configuration")
	}
}

func TestRolesAreRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		groupScene
		want placement.Command
	}{
		"promoted": {groupScene{brokers: 2, voters: ids(1, 2), votersInState: ids(1)}, placement.SetControllerReplica{Replica: 2}},
		"demoted":  {groupScene{brokers: 2, voters: ids(1), learners: ids(2), votersInState: ids(1, 2)}, placement.SetControllerReplica{Replica: 2, Learner: true}},
		"known":    {groupScene{brokers: 2, voters: ids(1, 2)}, nil},
		"joint":    {groupScene{brokers: 2, voters: ids(1, 2), outgoing: ids(1), votersInState: ids(1)}, nil},
	} {
		v := c.view()
		if got := v.unrecorded(); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// world plays the steps on a configuration, as raft would.
type world struct {
	groupScene
}

func (w *world) play(t *rapid.T, step membershipStep) {
	switch step.kind {
	case stepProve:
		w.noProof, w.oldProof = false, false
	case stepLeaveJoint:
		w.outgoing = nil
	case stepVoters:
		out := slices.Concat(step.voters.Demote, step.voters.Remove)
		w.outgoing = w.voters
		w.voters = append(without(w.voters, out...), step.voters.Promote...)
		w.learners = append(without(w.learners, step.voters.Promote...), step.voters.Demote...)
		if len(w.voters) == 0 || len(w.voters) > maxVoters {
			t.Fatalf("%+v leaves the voters %v", step, w.voters)
		}
		v := w.view()
		if spare(len(w.voters), v.fitVoters(w.voters)) < 0 {
			t.Fatalf("%+v: of the voters %v too few are heard; silent %v, lost %v", step, w.voters, w.silent, w.lost)
		}
		if len(w.voters) <= needsProof && (w.noProof || w.oldProof || slices.ContainsFunc(w.voters, func(id uint64) bool { return id != 1 && slices.Contains(w.unproven, id) })) &&
			!slices.Equal(w.voters, ids(1)) {
			t.Fatalf("%+v: of the voters %v not all have shown that they write", step, w.voters)
		}
		for _, id := range step.voters.Promote {
			if slices.Contains(w.behind, id) || slices.Contains(w.lacking, id) || !v.fit(id) {
				t.Fatalf("%+v promotes what is not ready", step)
			}
		}
	case stepRemoveLearner:
		if slices.Contains(w.voters, step.replica) {
			t.Fatalf("%+v removes a voter of %v", step, w.voters)
		}
		w.learners = without(w.learners, step.replica)
	case stepReplace: // the broker installs another at once; here it keeps its number
		w.lacking = without(w.lacking, step.replica)
	case stepAddLearner:
		if slices.Contains(slices.Concat(w.voters, w.learners), step.replica) {
			t.Fatalf("%+v is there", step)
		}
		w.learners = append(w.learners, step.replica)
	}
}

// From wherever the group is, the steps end; and then, if all brokers are heard and nothing is on its way, the group is as it
// should be.
func TestStepsEndWhereTheyShould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "brokers")
		w := &world{groupScene: groupScene{brokers: n, voters: ids(1)}}
		some := func(name string, p int) (out []int32) {
			for id := int32(2); int(id) <= n; id++ {
				if rapid.IntRange(0, 9).Draw(t, name) < p {
					out = append(out, id)
				}
			}
			return out
		}
		settle := func() membershipStep {
			for range 100 {
				step := nextStep(w.view())
				if step.kind == stepNone || step.kind == stepWait {
					return step
				}
				w.play(t, step)
			}
			t.Fatalf("the steps do not end: voters %v, learners %v", w.voters, w.learners)
			return membershipStep{}
		}
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			w.draining, w.silent, w.lost = some("draining", 2), some("silent", 2), some("lost", 2)
			w.behind, w.lacking, w.unproven = nil, nil, nil
			w.noProof, w.oldProof = rapid.Bool().Draw(t, "no proof"), rapid.Bool().Draw(t, "old proof")
			for _, id := range some("unproven", 2) {
				w.unproven = append(w.unproven, uint64(id))
			}
			for _, id := range some("behind", 2) {
				w.behind = append(w.behind, uint64(id))
			}
			for _, id := range some("lacking", 1) {
				w.lacking = append(w.lacking, uint64(id))
			}
			settle()
		}
		w.silent, w.lost, w.behind, w.lacking, w.unproven = nil, nil, nil, nil, nil
		if step := settle(); step.kind != stepNone {
			t.Fatalf("nothing is awaited and yet: %+v", step)
		}
		able := n - len(w.draining)
		if want := wantVoters(able); len(w.voters) != want || len(w.voters)+len(w.learners) != n {
			t.Fatalf("%d voters, want %d of %d brokers, %d draining; learners %v", len(w.voters), want, n, len(w.draining), w.learners)
		}
		for _, b := range w.draining {
			if slices.Contains(w.voters, uint64(b)) {
				t.Fatalf("broker %d drains and votes", b)
			}
		}
	})
}
