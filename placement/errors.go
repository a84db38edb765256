package placement

import "fmt"

// Code tells why a command or a plan was refused. Codes are compared, never parsed.
type Code string

// The codes. All are definite: the state is unchanged and the same command on the same state is refused again.
const (
	CodeInvalid          Code = "INVALID"            // a name, a count or a reference in the command is wrong
	CodeTopicExists      Code = "TOPIC_EXISTS"       // another topic has this name
	CodeUnknownTopic     Code = "UNKNOWN_TOPIC"      // no topic has this name, or it has another id
	CodeUnknownBroker    Code = "UNKNOWN_BROKER"     // no broker has this id
	CodeNotEnoughBrokers Code = "NOT_ENOUGH_BROKERS" // the replication factor is above the brokers alive
	CodeOtherIncarnation Code = "OTHER_INCARNATION"  // the broker id belongs to a disk that this broker does not have
	CodeNotFounded       Code = "NOT_FOUNDED"        // the first command must be FoundCluster
	CodeFounded          Code = "FOUNDED"            // the cluster was founded already, under another id
	CodeLimit            Code = "LIMIT"              // the cluster would outgrow a stated limit
	CodeUnknownMove      Code = "UNKNOWN_MOVE"       // the partition has no such move: it is over, or it never was
	CodeMoveUnderWay     Code = "MOVE_UNDER_WAY"     // the partition has a move; one at a time
	CodeMovePhase        Code = "MOVE_PHASE"         // the move is not in the phase that this step needs
	CodeBrokerInUse      Code = "BROKER_IN_USE"      // the broker still has a part in the cluster
	CodeOutdated         Code = "OUTDATED"           // the command was planned on an older state
	CodeUnknownCommand   Code = "UNKNOWN_COMMAND"    // this version does not know the command
)

// Error is what Apply, Decode and the planners refuse with.
type Error struct {
	Code Code
	// Msg is for a person: what is wrong and what to do.
	Msg string
}

// Error implements error.
func (e *Error) Error() string { return e.Msg }

// Errorf makes an Error.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Msg: fmt.Sprintf(format, args...)}
}
