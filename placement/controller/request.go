package controller

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Request is what Do can be asked: one of the types below, by value.
type Request interface {
	// repeatable tells whether the request may be sent again although an earlier try may have taken effect.
	repeatable() bool
}

// FoundCluster writes the first command of a cluster; only the founder asks it, on its own controller group.
// Answers Broker, ControllerReplica, ClusterID, Brokers.
type FoundCluster struct {
	ClusterID string
	Broker    placement.Registration
}

// RegisterBroker makes a broker a member, or renews its addresses, and tells of its replica of the controller group. Answers Broker,
// ControllerReplica, ClusterID, Brokers. A broker whose replica is not the one in the answer installs that one and says so.
type RegisterBroker struct {
	Broker placement.Registration
	// Replica is that of the controller group which this broker has; 0 if it has none yet.
	Replica uint64 `json:",omitempty"`
	// Lost tells why that one can never serve again, empty if it can. The answer names its successor.
	Lost string `json:",omitempty"`
	// Level is the highest level of commands that the broker's release reads; 0: it is from before there were levels, and reads level 1.
	Level int `json:",omitempty"`
}

// CreateTopic makes a topic. Answers Topic and Reasons.
type CreateTopic struct {
	Name string
	// Partitions 0 means 1.
	Partitions int
	// RF is the replication factor; 0 means the smaller of 3 and the number of brokers.
	RF     int
	Config map[string]string
	// RequestID makes a repeated request find its own work. Do draws one if it is empty.
	RequestID string
}

// DeleteTopic deletes a topic and, on every holder, its data. Answers Topic.
type DeleteTopic struct {
	Name string
	// ID pins the topic, so that a repeated request never deletes a later topic of that name. Do looks it up if it is 0.
	ID uint64
}

// AlterTopicConfig sets and removes some of a topic's settings and leaves the others. Answers Topic.
type AlterTopicConfig struct {
	Name  string
	ID    uint64 // as in DeleteTopic; here 0 means any of that name
	Set   map[string]string
	Unset []string
	By    string `json:",omitempty"` // who asked for it, for people
}

// AlterSettings sets and removes settings that brokers follow while they run: of one broker, or of all if Broker is 0. Answers Changes.
type AlterSettings struct {
	Broker int32
	Set    map[string]string
	Unset  []string
	By     string
}

// AllocateProducers gives a broker a block of producer ids. Answers FirstProducer and Producers.
type AllocateProducers struct {
	Broker int32
	// Count 0 means 1,000.
	Count int64
}

// ForgetReplicas tells that a broker has deleted the data of replicas that have tombstones.
type ForgetReplicas struct {
	Broker   int32
	Replicas []uint64
}

// LookUpTopic reads a topic linearizably. Answers Topic.
type LookUpTopic struct {
	Name string
}

func (FoundCluster) repeatable() bool      { return true } // the same cluster id and incarnation find their own work
func (RegisterBroker) repeatable() bool    { return true } // the incarnation finds its own work
func (r CreateTopic) repeatable() bool     { return r.RequestID != "" }
func (r DeleteTopic) repeatable() bool     { return r.ID != 0 }
func (AlterTopicConfig) repeatable() bool  { return false } // a repetition could undo another's later change
func (AlterSettings) repeatable() bool     { return false } // as above
func (AllocateProducers) repeatable() bool { return true }  // a lost block costs nothing
func (ForgetReplicas) repeatable() bool    { return true }
func (LookUpTopic) repeatable() bool       { return true }

// Response answers a Request; which fields are set stands with the request.
type Response struct {
	// Revision is that of the state in which the answer is true.
	Revision          uint64
	ClusterID         string
	Broker            int32
	ControllerReplica uint64
	// Brokers answers FoundCluster and RegisterBroker: all members, by rising id. A new broker has no state yet and
	// exchanges heartbeats with these, or it would not catch up while the founder is down.
	Brokers       []*placement.Broker `json:",omitempty"`
	Topic         *placement.Topic
	FirstProducer int64
	Producers     int64
	// Reasons tell why the planner placed the replicas as it did.
	Reasons []string
	// Move answers MovePartition.
	Move *placement.Move `json:",omitempty"`
	// Changes answers AlterSettings: what became different.
	Changes []placement.Change `json:",omitempty"`
	// Overview answers Overview.
	Overview *OverviewAnswer `json:",omitempty"`
}

// Method is the name under which brokers call Serve on each other.
const Method = "controller.do"

// wireFormat is the version of the forwarded request.
const wireFormat = 1

type wire struct {
	Format int             `json:"format"`
	Type   string          `json:"type"`
	Body   json.RawMessage `json:"body"`
}

// requestKind is a type of request under the name by which it travels.
type requestKind struct {
	name   string
	decode func(w wire) (Request, error)
}

// requestKinds holds every request that travels. Names are never used for something else.
var requestKinds = map[reflect.Type]requestKind{
	reflect.TypeFor[FoundCluster]():         {"found_cluster", decodeBody[FoundCluster]},
	reflect.TypeFor[RegisterBroker]():       {"register_broker", decodeBody[RegisterBroker]},
	reflect.TypeFor[CreateTopic]():          {"create_topic", decodeBody[CreateTopic]},
	reflect.TypeFor[DeleteTopic]():          {"delete_topic", decodeBody[DeleteTopic]},
	reflect.TypeFor[AlterTopicConfig]():     {"alter_topic_config", decodeBody[AlterTopicConfig]},
	reflect.TypeFor[AlterSettings]():        {"alter_settings", decodeBody[AlterSettings]},
	reflect.TypeFor[AllocateProducers]():    {"allocate_producers", decodeBody[AllocateProducers]},
	reflect.TypeFor[ForgetReplicas]():       {"forget_replicas", decodeBody[ForgetReplicas]},
	reflect.TypeFor[LookUpTopic]():          {"look_up_topic", decodeBody[LookUpTopic]},
	reflect.TypeFor[MovePartition]():        {"move_partition", decodeBody[MovePartition]},
	reflect.TypeFor[CancelMove]():           {"cancel_move", decodeBody[CancelMove]},
	reflect.TypeFor[TransferLeadership]():   {"transfer_leadership", decodeBody[TransferLeadership]},
	reflect.TypeFor[SetDraining]():          {"set_draining", decodeBody[SetDraining]},
	reflect.TypeFor[RemoveBroker]():         {"remove_broker", decodeBody[RemoveBroker]},
	reflect.TypeFor[AddPartitions]():        {"add_partitions", decodeBody[AddPartitions]},
	reflect.TypeFor[SetReplicationFactor](): {"set_replication_factor", decodeBody[SetReplicationFactor]},
	reflect.TypeFor[RecoverPartition]():     {"recover_partition", decodeBody[RecoverPartition]},
	reflect.TypeFor[Overview]():             {"overview", decodeBody[Overview]},
}

func encodeRequest(r Request) ([]byte, error) {
	k, ok := requestKinds[reflect.TypeOf(r)]
	if !ok {
		return nil, fmt.Errorf("request %T cannot be sent to another broker", r)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode request %s: %w", k.name, err)
	}
	b, err := json.Marshal(wire{Format: wireFormat, Type: k.name, Body: body})
	if err != nil {
		return nil, fmt.Errorf("encode request %s: %w", k.name, err)
	}
	return b, nil
}

// EncodeRequest encodes a request for a broker that is called by address because it is not known by id yet: the way
// a joining broker sends RegisterBroker. The answer is decoded by DecodeResponse.
func EncodeRequest(r Request) ([]byte, error) { return encodeRequest(r) }

// DecodeResponse decodes what Serve answered.
func DecodeResponse(b []byte) (Response, error) {
	var r Response
	if err := json.Unmarshal(b, &r); err != nil {
		return Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "the controller's answer is not readable: %v", err)
	}
	return r, nil
}

func decodeRequest(b []byte) (Request, error) {
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, invalid("the request is not readable: %v", err)
	}
	if w.Format != wireFormat {
		return nil, invalid("the request has format %d and this broker knows format %d: upgrade it", w.Format, wireFormat)
	}
	for _, k := range requestKinds {
		if k.name == w.Type {
			return k.decode(w)
		}
	}
	return nil, invalid("the request %q is unknown to this broker: upgrade it", w.Type)
}

func decodeBody[R Request](w wire) (Request, error) {
	var r R
	if err := json.Unmarshal(w.Body, &r); err != nil {
		return nil, invalid("the request %q is not readable: %v", w.Type, err)
	}
	return r, nil
}

func invalid(format string, args ...any) *runnelv1.Error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, format, args...)
}
