package placement

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// ControllerGroup is the raft group id of the controller group. Partitions get the ids after it.
const ControllerGroup uint64 = 1

// State is the cluster's desired state. It is immutable once published: Apply copies what it changes. The maps are
// never nil.
type State struct {
	// ClusterID is empty until the cluster is founded.
	ClusterID string `json:"cluster_id"`
	// Revision counts the commands that changed the state; it jumps with RecoverController.
	Revision uint64            `json:"revision"`
	Brokers  map[int32]*Broker `json:"brokers"`
	Topics   map[string]*Topic `json:"topics"`

	// The next id of each kind. An id below its counter is never given again.
	NextBroker   int32  `json:"next_broker"`
	NextTopic    uint64 `json:"next_topic"`
	NextGroup    uint64 `json:"next_group"`
	NextReplica  uint64 `json:"next_replica"`
	NextMove     uint64 `json:"next_move,omitempty"` // 1 at first
	NextProducer int64  `json:"next_producer"`

	// Controller holds the controller group's replicas, in the order of their ids. Learner tells what was last
	// recorded; the truth about votes is raft's ConfState.
	Controller []Replica `json:"controller"`
	// Tombstones holds, by replica id, the replicas whose data is to be deleted and whose holder has not answered yet.
	Tombstones map[uint64]*Tombstone `json:"tombstones"`
	// Retired holds the request ids of the topics deleted last, oldest first, at most MaxRetired. A CreateTopic that is
	// sent again after its topic was created and deleted must not create it once more.
	Retired []string `json:"retired,omitempty"`
	// Replicas counts the replicas of all topics, those that moves add included.
	Replicas int `json:"replicas"`
	// Settings holds what was set for all brokers while they ran, and BrokerSettings for one of them, by broker: what stands here goes before
	// what a broker was started with, and that of the one before that of all. nil, and without empty maps, where nothing is set. A broker follows
	// the keys that it knows.
	Settings       map[string]string           `json:"settings,omitempty"`
	BrokerSettings map[int32]map[string]string `json:"broker_settings,omitempty"`
	// Recoveries holds what was given up by hand, oldest first, at most MaxRecoveries.
	Recoveries []Recovery `json:"recoveries,omitempty"`
	// ControllerRecoveries holds how often the controller group itself was, at most MaxControllerRecoveries.
	ControllerRecoveries []ControllerRecovery `json:"controller_recoveries,omitempty"`

	level int // see Level
}

// Broker is a member of the cluster.
type Broker struct {
	ID int32 `json:"id"`
	// Incarnation is drawn when a data folder is made: another incarnation is another, empty disk.
	Incarnation string `json:"incarnation"`
	ClientAddr  string `json:"client_addr"` // host:port
	PeerAddr    string `json:"peer_addr"`   // host:port
	Rack        string `json:"rack,omitempty"`
	Version     string `json:"version,omitempty"`
	// ControllerReplica is the id of the broker's replica of the controller group.
	ControllerReplica uint64 `json:"controller_replica"`
	// Draining brokers get no replica and lose those they have.
	Draining bool `json:"draining,omitempty"`
}

// Topic is a named set of partitions.
type Topic struct {
	Name string `json:"name"`
	ID   uint64 `json:"id"`
	// RequestID is that of the request that created the topic: how a retry knows its own work.
	RequestID string `json:"request_id,omitempty"`
	// Config holds the settings that differ from the defaults, by Kafka's names; nil if there are none.
	Config map[string]string `json:"config,omitempty"`
	// RF is how many replicas each partition shall have; 0 as long as nothing differs from what the topic was created
	// with.
	RF         int         `json:"rf,omitempty"`
	Partitions []Partition `json:"partitions"`
}

// ReplicationFactor is how many replicas each partition shall have.
func (t *Topic) ReplicationFactor() int {
	if t.RF != 0 {
		return t.RF
	}
	if len(t.Partitions) == 0 {
		return 0
	}
	return len(t.Partitions[0].Replicas)
}

// Partition is one raft group.
type Partition struct {
	Group uint64 `json:"group"`
	// Replicas holds the voters, one a broker; the first is the preferred leader.
	Replicas []Replica `json:"replicas"`
	// Move is the change under way, nil if there is none.
	Move *Move `json:"move,omitempty"`
	// Founders holds the ids of the replicas that the group was born with, rising; nil as long as they are those of Replicas.
	// Only a founder of a group that never changed may be made from nothing: any other replica is installed, or its data is lost.
	Founders []uint64 `json:"founders,omitempty"`
	// Recovered is the revision of the newest RecordRecovery; 0 if there was none. The replica that was kept has to take the lost
	// ones out of its configuration by itself, once for each revision.
	Recovered uint64 `json:"recovered,omitempty"`
}

// Founding returns the ids of the replicas that the group was born with, rising, and whether they are its replicas still.
func (p *Partition) Founding() (ids []uint64, still bool) {
	if p.Founders != nil {
		return p.Founders, false
	}
	ids = make([]uint64, len(p.Replicas))
	for i, r := range p.Replicas {
		ids[i] = r.ID
	}
	slices.Sort(ids)
	return ids, true
}

// On returns the partition's replica on the broker.
func (p *Partition) On(broker int32) (Replica, bool) {
	for _, r := range p.Replicas {
		if r.Broker == broker {
			return r, true
		}
	}
	return Replica{}, false
}

// Replica is one broker's copy of a group. ID is its raft id, unique in the cluster and used once.
type Replica struct {
	ID      uint64 `json:"id"`
	Broker  int32  `json:"broker"`
	Learner bool   `json:"learner,omitempty"`
}

// Tombstone asks the broker that holds a replica's data to delete it.
type Tombstone struct {
	Group   uint64 `json:"group"`
	Replica uint64 `json:"replica"`
	Broker  int32  `json:"broker"`
	// Topic and Partition are for people: the topic no longer exists, or it is another one of that name.
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Revision is that of the command that deleted the replica.
	Revision uint64 `json:"revision"`
}

// Recovery is a partition's majority given up by hand.
type Recovery struct {
	Topic     string   `json:"topic"`
	TopicID   uint64   `json:"topic_id"`
	Partition int32    `json:"partition"`
	Kept      uint64   `json:"kept"` // 0: nothing, it began anew
	Lost      []uint64 `json:"lost"`
	Note      string   `json:"note,omitempty"`
	Revision  uint64   `json:"revision"`
}

// New returns the state before the first command.
func New() *State {
	return &State{level: 1, Brokers: map[int32]*Broker{}, Topics: map[string]*Topic{}, Tombstones: map[uint64]*Tombstone{}}
}

// BrokerIDs returns the ids of all brokers, rising.
func (s *State) BrokerIDs() []int32 { return slices.Sorted(maps.Keys(s.Brokers)) }

// TopicNames returns the names of all topics, sorted.
func (s *State) TopicNames() []string { return slices.Sorted(maps.Keys(s.Topics)) }

// ControllerMembers returns the controller group's replicas as raft id -> broker id.
func (s *State) ControllerMembers() map[uint64]int32 {
	m := make(map[uint64]int32, len(s.Controller))
	for _, r := range s.Controller {
		m[r.ID] = r.Broker
	}
	return m
}

// stateFile is a marshalled state. Its format is the state's level: a release that could not read one of the commands would lose what it
// left in the state, and the replicas of the controller group would differ.
type stateFile struct {
	Format int    `json:"format"`
	State  *State `json:"state"`
}

// Marshal encodes the state as JSON with its level. Equal states give equal bytes.
func (s *State) Marshal() ([]byte, error) {
	b, err := json.Marshal(stateFile{Format: s.Level(), State: s})
	if err != nil {
		return nil, fmt.Errorf("encode cluster state: %w", err)
	}
	return b, nil
}

// Unmarshal decodes what Marshal made.
func Unmarshal(b []byte) (*State, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("decode cluster state: %w", err)
	}
	if head.Format < 1 || head.Format > Level {
		return nil, fmt.Errorf("cluster state has format %d and this version reads formats 1 to %d: run the version that wrote it, or a newer one",
			head.Format, Level)
	}
	f := stateFile{State: New()}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("decode cluster state: %w", err)
	}
	s := f.State
	if s == nil {
		return nil, fmt.Errorf("decode cluster state: it holds no state")
	}
	s.level = head.Format
	// A JSON null would have replaced the maps.
	if s.Brokers == nil {
		s.Brokers = map[int32]*Broker{}
	}
	if s.Topics == nil {
		s.Topics = map[string]*Topic{}
	}
	if s.Tombstones == nil {
		s.Tombstones = map[uint64]*Tombstone{}
	}
	for id, b := range s.Brokers {
		if b == nil {
			return nil, fmt.Errorf("decode cluster state: it says nothing of broker %d", id)
		}
	}
	for name, t := range s.Topics {
		if t == nil {
			return nil, fmt.Errorf("decode cluster state: it says nothing of topic %q", name)
		}
	}
	for id, d := range s.Tombstones {
		if d == nil {
			return nil, fmt.Errorf("decode cluster state: it says nothing of the deleted replica %d", id)
		}
	}
	// A state from before there were moves has no counter. Whoever folds the same commands anew has the first one of foundCluster.
	if s.ClusterID != "" && s.NextMove == 0 {
		s.NextMove = 1
	}
	return s, nil
}
