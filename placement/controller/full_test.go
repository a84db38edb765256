package controller

import (
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement/ask"
)

// fullLoop is a driver of brokers some of which say that their disks are nearly full. leads says who leads each group; transfers move that.
type fullLoop struct {
	*loop
	mu    sync.Mutex
	full  map[int32]bool
	leads map[uint64]int32
	fails map[int32]bool // brokers to which no transfer succeeds
	tried []ask.ChangeRequest
}

func newFullLoop(t *testing.T, partitions int) *fullLoop {
	s := population(t, 3, partitions)
	f := &fullLoop{full: map[int32]bool{}, leads: map[uint64]int32{}, fails: map[int32]bool{}}
	f.loop = newLoop(t, s, func(c *Config) { c.Automatic = true })
	for _, top := range s.Topics {
		for _, p := range top.Partitions {
			f.leads[p.Group] = p.Replicas[0].Broker
		}
	}
	f.leader = func(group uint64) (int32, uint64, bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.leads[group], 1, true
	}
	f.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if method == ask.MethodStatus {
			r := ask.StatusResponse{Boot: uint64(broker), Revision: s.Revision}
			if f.full[broker] {
				r.Full = "its disk is nearly full"
			}
			return ask.Encode(r), nil
		}
		r, err := ask.Decode[ask.ChangeRequest](body)
		if err != nil {
			return nil, err
		}
		f.tried = append(f.tried, r)
		if f.leads[r.Group] != broker {
			t.Errorf("broker %d is asked to give group %d away, which %d leads", broker, r.Group, f.leads[r.Group])
		}
		if f.fails[r.Broker] {
			return nil, notLeading(broker)
		}
		f.leads[r.Group] = r.Broker
		return nil, nil
	}
	return f
}

// leaders counts who leads how much.
func (f *fullLoop) leaders() map[int32]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := map[int32]int{}
	for _, b := range f.leads {
		n[b]++
	}
	return n
}

func (f *fullLoop) set(broker int32, full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full[broker] = full
	f.tried = nil
}

func TestLeadersLeaveABrokerWhoseDiskIsNearlyFullAndComeBack(t *testing.T) {
	f := newFullLoop(t, 30)
	f.run(calmFor)
	if n := f.leaders(); n[2] != 10 {
		t.Fatalf("to begin with: %v", n)
	}
	f.set(2, true)
	f.run(pollIdle + 2*leadersEvery)
	if n := f.leaders(); n[2] != 0 || n[1]+n[3] != 30 {
		t.Fatalf("with the disk of broker 2 nearly full: %v", n)
	}
	f.run(time.Minute) // and none is sent there meanwhile
	f.mu.Lock()
	tries := len(f.tried)
	f.mu.Unlock()
	if tries != 10 {
		t.Errorf("%d transfers for 10 leaders", tries)
	}
	f.set(2, false)
	f.run(pollWatch + 2*leadersEvery)
	if n := f.leaders(); n[2] != 10 {
		t.Fatalf("with space again: %v", n)
	}
}

func TestLeadersStayWhereAllDisksAreNearlyFull(t *testing.T) {
	f := newFullLoop(t, 9)
	f.run(calmFor)
	for id := range int32(3) {
		f.set(id+1, true)
	}
	f.run(time.Minute)
	if len(f.tried) > 0 {
		t.Errorf("%d transfers between brokers that are all full", len(f.tried))
	}
	f.set(3, false)
	f.run(pollIdle + 2*leadersEvery)
	if n := f.leaders(); n[3] != 9 {
		t.Errorf("broker 3 alone has space: %v", n)
	}
}

func TestALeaderThatCannotGoToOneReplicaGoesToAnother(t *testing.T) {
	f := newFullLoop(t, 3)
	f.run(calmFor)
	f.fails[1] = true // its replicas stand still, say
	f.set(3, true)
	f.run(pollIdle + 2*leadersEvery + 4*firstTransferPause)
	if n := f.leaders(); n[3] != 0 || n[2] != 2 {
		t.Errorf("broker 3 is full and broker 1 takes none: %v", n)
	}
}

// An operator's wish keeps a leader away from home, but not on a disk that is full.
func TestAHeldLeaderLeavesAFullDisk(t *testing.T) {
	f := newFullLoop(t, 3)
	f.run(calmFor)
	for group, b := range f.leads {
		if b == 1 {
			f.leads[group] = 2
			f.d.hold(group)
		}
	}
	f.run(5 * time.Second)
	if n := f.leaders(); n[2] != 2 {
		t.Fatalf("not held: %v", n)
	}
	f.set(2, true)
	f.run(pollIdle + 2*leadersEvery)
	if n := f.leaders(); n[2] != 0 {
		t.Errorf("held on a full disk: %v", n)
	}
}

func TestABrokerWhoseDiskIsNearlyFullGetsNoNewReplicas(t *testing.T) {
	f := newFullLoop(t, 3)
	f.run(calmFor)
	f.set(2, true)
	f.run(pollIdle + leadersEvery)
	v := f.d.view(f.now, f.State())
	if v.Refusing[2] == "" || !v.Full[2] || len(v.Refusing) != 1 {
		t.Fatalf("refusing %v, full %v", v.Refusing, v.Full)
	}
	f.set(2, false)
	f.run(pollWatch + leadersEvery)
	if v := f.d.view(f.now, f.State()); len(v.Refusing)+len(v.Full) > 0 {
		t.Fatalf("with space again: refusing %v, full %v", v.Refusing, v.Full)
	}
}
