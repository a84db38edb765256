package ask

import (
	"encoding/json"
	"strings"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// The methods, as brokers call them on each other.
const (
	MethodStatus = "agent.status" // StatusRequest -> StatusResponse
	MethodChange = "agent.change" // ChangeRequest -> nothing
)

// Handles tells whether a method of Peers' calls is for an agent.
func Handles(method string) bool { return strings.HasPrefix(method, "agent.") }

// StatusRequest asks a broker how its replicas are.
type StatusRequest struct {
	// Groups, of those it leads in session, are described in StatusResponse.Groups; of the others StatusResponse.Leaders tells.
	Groups []uint64 `json:"groups,omitempty"`
	// Installs are the ids of replicas that it is to install; they are described in StatusResponse.Installs.
	Installs []uint64 `json:"installs,omitempty"`
	// Sizes asks for StatusResponse.Bytes.
	Sizes bool `json:"sizes,omitempty"`
}

// StatusResponse answers StatusRequest.
type StatusResponse struct {
	// Boot is drawn when the broker starts.
	Boot uint64 `json:"boot"`
	// Revision is that of the state that the broker's agent has taken up.
	Revision uint64 `json:"revision"`
	// Quarantined holds the replicas that can never serve again, by replica id, with the reason: poisoned, or known to the state
	// as a replica of this broker but not on its disk and not to be made anew.
	Quarantined map[uint64]string `json:"quarantined,omitempty"`
	// Behind holds the voters of groups that the broker leads in session which can never catch up, by replica id, with the reason: they
	// have to be replaced like those that are quarantined. It may be some seconds late.
	Behind map[uint64]string `json:"behind,omitempty"`
	// Installs holds, by replica id, those of StatusRequest.Installs that the broker knows.
	Installs map[uint64]Install `json:"installs,omitempty"`
	// Groups holds those of StatusRequest.Groups that the broker leads in session.
	Groups map[uint64]Group `json:"groups,omitempty"`
	// Leaders holds, of the others of StatusRequest.Groups, which broker leads them in session or is followed by the replica here, if the
	// broker knows of one that it hears. A release that does not know the field leaves it out: nil says nothing.
	Leaders map[uint64]int32 `json:"leaders"`
	// Bytes is the size on disk of each replica that runs here, by group.
	Bytes map[uint64]int64 `json:"bytes,omitempty"`
	// Full tells why the broker refuses records now, since its disk is nearly full; empty if it does not. It is to lead nothing that others
	// can lead, and gets no new replicas.
	Full string `json:"full,omitempty"`
}

// InstallState is how far a replica's installation is.
type InstallState string

// The states.
const (
	InstallWaiting   InstallState = "waiting"   // for its turn, or for a source
	InstallReceiving InstallState = "receiving" // from a source
	InstallDone      InstallState = "done"      // the replica is installed and runs
)

// Install is how far a replica's installation is. A failed try is waiting with Err set and is tried again.
type Install struct {
	State InstallState `json:"state"`
	Done  int64        `json:"done,omitempty"`  // bytes
	Total int64        `json:"total,omitempty"` // bytes
	Err   string       `json:"err,omitempty"`   // why the last try failed
	// Stalled says that Err is of sources that gave nothing, and so nothing of the broker itself.
	Stalled bool `json:"stalled,omitempty"`
}

// Group is a partition's raft group as its leader in session sees it.
type Group struct {
	Replica uint64 `json:"replica"` // the leader's
	Term    uint64 `json:"term"`
	// The configuration. Outgoing holds voters only while it is joint.
	Voters       []uint64 `json:"voters"`
	Outgoing     []uint64 `json:"outgoing,omitempty"`
	Learners     []uint64 `json:"learners,omitempty"`
	LearnersNext []uint64 `json:"learners_next,omitempty"`
	// Changing tells that a change of the configuration is on its way to the leader's log, or is in it and not applied yet, or is not safe
	// yet from a power cut (multiraft.Status.Changing).
	Changing bool            `json:"changing,omitempty"`
	Peers    map[uint64]Peer `json:"peers,omitempty"` // by replica id; the leader's own is absent
}

// Peer is another replica as the leader sees it.
type Peer struct {
	Active   bool `json:"active,omitempty"`    // heard lately
	CaughtUp bool `json:"caught_up,omitempty"` // holds all but the newest entries
	Behind   bool `json:"behind,omitempty"`    // lacks what is no longer in the log: it can only be replaced
}

// ChangeKind names a step.
type ChangeKind string

// The steps. Each answers nil when it has taken effect, now or before.
const (
	AddLearner    ChangeKind = "add_learner"    // Replica on Broker
	RemoveLearner ChangeKind = "remove_learner" // Replica
	ChangeVoters  ChangeKind = "change_voters"  // Promote, Remove: enters a joint configuration
	LeaveJoint    ChangeKind = "leave_joint"
	Transfer      ChangeKind = "transfer" // the leadership to Replica; nil when it has moved
)

// ChangeRequest asks a partition's leader for one step. The state of its broker must have reached Revision, or it waits until
// it has: every replica knows by then where the new ones are.
//
// A request can be late: its sender may have lost the controller group meanwhile, and the move may have been cancelled. So the broker
// refuses, by its own state, an AddLearner for a replica that no move adds or whose move is cancelled, and a ChangeVoters unless
// the partition's move is in phase joint. It does the requests for one group one after the other.
type ChangeRequest struct {
	Revision uint64     `json:"revision,omitempty"`
	Group    uint64     `json:"group"`
	Kind     ChangeKind `json:"kind"`
	Replica  uint64     `json:"replica,omitempty"`
	Broker   int32      `json:"broker,omitempty"`
	Promote  []uint64   `json:"promote,omitempty"`
	Remove   []uint64   `json:"remove,omitempty"`
}

// Encode encodes a message. It cannot fail: the messages hold nothing that JSON has no form for.
func Encode(m any) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("placement/ask: " + err.Error())
	}
	return b
}

// Decode decodes a message. The error is a *runnelv1.Error.
func Decode[M any](b []byte) (M, error) {
	var m M
	if err := json.Unmarshal(b, &m); err != nil {
		return m, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "the message is not readable, perhaps of a newer version: %v", err)
	}
	return m, nil
}
