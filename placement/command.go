package placement

import (
	"encoding/json"
	"fmt"
)

// Command is one change of the State, as it stands in the controller group's log. Commands carry decisions, not
// requests: what a planner chose is in the command, so Apply has nothing to choose.
type Command interface{ isCommand() }

// FoundCluster is the first command of every cluster. It makes the founder broker 1 with controller replica 1.
type FoundCluster struct {
	ClusterID string       `json:"cluster_id"`
	Broker    Registration `json:"broker"`
}

// RegisterBroker adds a broker, or renews the addresses of a known one.
type RegisterBroker struct {
	Broker Registration `json:"broker"`
}

// Registration is what a broker tells about itself.
type Registration struct {
	// ID is 0 for a broker that has none yet.
	ID          int32  `json:"id,omitempty"`
	Incarnation string `json:"incarnation"`
	ClientAddr  string `json:"client_addr"`
	PeerAddr    string `json:"peer_addr"`
	Rack        string `json:"rack,omitempty"`
	Version     string `json:"version,omitempty"`
}

// CreateTopic adds a topic with planned replicas.
type CreateTopic struct {
	Name      string            `json:"name"`
	RequestID string            `json:"request_id,omitempty"`
	Config    map[string]string `json:"config,omitempty"`
	// Brokers holds the brokers of each partition, the preferred leader first.
	Brokers [][]int32 `json:"brokers"`
}

// DeleteTopic removes a topic and leaves tombstones for its replicas.
type DeleteTopic struct {
	Name string `json:"name"`
	// ID pins the topic: one that was created under the same name later is not touched. 0 means any.
	ID uint64 `json:"id,omitempty"`
}

// SetTopicConfig replaces a topic's settings. It stands in old logs: AlterTopicConfig is proposed now.
type SetTopicConfig struct {
	Name   string            `json:"name"`
	ID     uint64            `json:"id,omitempty"` // as in DeleteTopic
	Config map[string]string `json:"config,omitempty"`
}

// AlterTopicConfig sets and removes some of a topic's settings and leaves the others, whatever they are when it is applied: of two that are
// altered at the same time none is lost.
type AlterTopicConfig struct {
	Name  string            `json:"name"`
	ID    uint64            `json:"id,omitempty"` // as in DeleteTopic
	Set   map[string]string `json:"set,omitempty"`
	Unset []string          `json:"unset,omitempty"`
	By    string            `json:"by,omitempty"` // as in AlterSettings
}

// AllocateProducers gives a broker a block of Count producer ids.
type AllocateProducers struct {
	Broker int32 `json:"broker"`
	Count  int64 `json:"count"`
}

// ForgetReplicas removes tombstones: the broker has deleted the data of these replicas.
type ForgetReplicas struct {
	Broker   int32    `json:"broker"`
	Replicas []uint64 `json:"replicas"`
}

// SetControllerReplica records that a replica of the controller group became a voter or a learner, after it did: until then a
// voter may stand here as a learner.
type SetControllerReplica struct {
	Replica uint64 `json:"replica"`
	Learner bool   `json:"learner,omitempty"`
}

func (FoundCluster) isCommand()         {}
func (RegisterBroker) isCommand()       {}
func (CreateTopic) isCommand()          {}
func (DeleteTopic) isCommand()          {}
func (SetTopicConfig) isCommand()       {}
func (AlterTopicConfig) isCommand()     {}
func (AllocateProducers) isCommand()    {}
func (ForgetReplicas) isCommand()       {}
func (SetControllerReplica) isCommand() {}

type commandFile struct {
	Level   int             `json:"v"`
	Type    string          `json:"type"`
	Command json.RawMessage `json:"cmd"`
}

// Names in the log. They only grow: an old log must stay readable.
const (
	typeFoundCluster         = "found_cluster"
	typeRegisterBroker       = "register_broker"
	typeCreateTopic          = "create_topic"
	typeDeleteTopic          = "delete_topic"
	typeSetTopicConfig       = "set_topic_config"
	typeAlterTopicConfig     = "alter_topic_config"
	typeAlterSettings        = "alter_settings"
	typeAllocateProducers    = "allocate_producers"
	typeForgetReplicas       = "forget_replicas"
	typeSetControllerReplica = "set_controller_replica"
	typeReplaceController    = "replace_controller_replica"
	typeAddController        = "add_controller_replica"
	typeProposeMoves         = "propose_moves"
	typeProposeMove          = "propose_move"
	typeAdvanceMove          = "advance_move"
	typeCancelMove           = "cancel_move"
	typeEndCancelled         = "end_cancelled"
	typeFinishMove           = "finish_move"
	typeSetPreferred         = "set_preferred"
	typeSetDraining          = "set_draining"
	typeRemoveBroker         = "remove_broker"
	typeAddPartitions        = "add_partitions"
	typeSetReplicationFactor = "set_replication_factor"
	typeRecordRecovery       = "record_recovery"
	typeRecoverController    = "recover_controller"
)

// CommandName is a command's name in the log, and in metrics.
func CommandName(c Command) string { return typeOf(c) }

func typeOf(c Command) string {
	switch c.(type) {
	case FoundCluster:
		return typeFoundCluster
	case RegisterBroker:
		return typeRegisterBroker
	case CreateTopic:
		return typeCreateTopic
	case DeleteTopic:
		return typeDeleteTopic
	case SetTopicConfig:
		return typeSetTopicConfig
	case AlterTopicConfig:
		return typeAlterTopicConfig
	case AlterSettings:
		return typeAlterSettings
	case AllocateProducers:
		return typeAllocateProducers
	case ForgetReplicas:
		return typeForgetReplicas
	case SetControllerReplica:
		return typeSetControllerReplica
	case ReplaceControllerReplica:
		return typeReplaceController
	case AddControllerReplica:
		return typeAddController
	case ProposeMoves:
		return typeProposeMoves
	case ProposeMove:
		return typeProposeMove
	case AdvanceMove:
		return typeAdvanceMove
	case CancelMove:
		return typeCancelMove
	case EndCancelled:
		return typeEndCancelled
	case FinishMove:
		return typeFinishMove
	case SetPreferred:
		return typeSetPreferred
	case SetDraining:
		return typeSetDraining
	case RemoveBroker:
		return typeRemoveBroker
	case AddPartitions:
		return typeAddPartitions
	case SetReplicationFactor:
		return typeSetReplicationFactor
	case RecordRecovery:
		return typeRecordRecovery
	case RecoverController:
		return typeRecoverController
	}
	return ""
}

// Encode encodes a command as JSON with its type name and its level.
func Encode(c Command) ([]byte, error) {
	name := typeOf(c)
	if name == "" {
		return nil, Errorf(CodeUnknownCommand, "command %T has no encoding", c)
	}
	cmd, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode command %s: %w", name, err)
	}
	b, err := json.Marshal(commandFile{Level: LevelOf(c), Type: name, Command: cmd})
	if err != nil {
		return nil, fmt.Errorf("encode command %s: %w", name, err)
	}
	return b, nil
}

// Decode decodes what Encode made. Every failure is an *Error with CodeUnknownCommand: whoever folds the log treats such
// an entry as a no-op, the same on every broker of this version, and says so loudly.
func Decode(b []byte) (Command, error) {
	var f commandFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, Errorf(CodeUnknownCommand, "command is not readable: %v", err)
	}
	if f.Level < 1 || f.Level > Level {
		return nil, Errorf(CodeUnknownCommand, "command %q is of level %d and this release reads levels 1 to %d: upgrade the broker", f.Type, f.Level, Level)
	}
	switch f.Type {
	case typeFoundCluster:
		return decode[FoundCluster](f)
	case typeRegisterBroker:
		return decode[RegisterBroker](f)
	case typeCreateTopic:
		return decode[CreateTopic](f)
	case typeDeleteTopic:
		return decode[DeleteTopic](f)
	case typeSetTopicConfig:
		return decode[SetTopicConfig](f)
	case typeAlterTopicConfig:
		return decode[AlterTopicConfig](f)
	case typeAlterSettings:
		return decode[AlterSettings](f)
	case typeAllocateProducers:
		return decode[AllocateProducers](f)
	case typeForgetReplicas:
		return decode[ForgetReplicas](f)
	case typeSetControllerReplica:
		return decode[SetControllerReplica](f)
	case typeReplaceController:
		return decode[ReplaceControllerReplica](f)
	case typeAddController:
		return decode[AddControllerReplica](f)
	case typeProposeMoves:
		return decode[ProposeMoves](f)
	case typeProposeMove:
		return decode[ProposeMove](f)
	case typeAdvanceMove:
		return decode[AdvanceMove](f)
	case typeCancelMove:
		return decode[CancelMove](f)
	case typeEndCancelled:
		return decode[EndCancelled](f)
	case typeFinishMove:
		return decode[FinishMove](f)
	case typeSetPreferred:
		return decode[SetPreferred](f)
	case typeSetDraining:
		return decode[SetDraining](f)
	case typeRemoveBroker:
		return decode[RemoveBroker](f)
	case typeAddPartitions:
		return decode[AddPartitions](f)
	case typeSetReplicationFactor:
		return decode[SetReplicationFactor](f)
	case typeRecordRecovery:
		return decode[RecordRecovery](f)
	case typeRecoverController:
		return decode[RecoverController](f)
	}
	return nil, Errorf(CodeUnknownCommand, "command %q is unknown to this version: upgrade the broker", f.Type)
}

func decode[C Command](f commandFile) (Command, error) {
	var c C
	if err := json.Unmarshal(f.Command, &c); err != nil {
		return nil, Errorf(CodeUnknownCommand, "command %q is not readable: %v", f.Type, err)
	}
	return c, nil
}
