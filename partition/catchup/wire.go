package catchup

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// The methods. Requests are JSON, and so is the answer of ship.manifest; the other answers are bytes as they are.
const (
	prefix         = "ship."
	methodManifest = prefix + "manifest" // manifestRequest -> manifestAnswer
	methodRead     = prefix + "read"     // readRequest -> bytes
	methodSum      = prefix + "sum"      // readRequest -> hash
	methodCheck    = prefix + "check"    // readRequest -> nothing: the source checks a file in which the receiver found damage, from entry Offset on
	methodTail     = prefix + "tail"     // tailRequest -> index to go on from (8 bytes, little endian), entries
	methodClose    = prefix + "close"    // closeRequest -> nothing
)

// A sum or a check with Max above 0 has the source read no more than a piece. If there is more, the answer of a sum is empty, and that of a
// check the index to go on from (8 bytes, little endian). With 0, as the first release asks, it does all of the file, as that release does.

// checkpointFile is the number under which the checkpoint is read.
const checkpointFile = -1

// maxChunk bounds one answer: a call's body has a limit, and a larger one would only wait longer for the rate.
const maxChunk = 1 << 20

// maxTail is the same for entries; one that is larger travels alone.
const maxTail = 1 << 20

type manifestRequest struct {
	Group uint64
}

type manifestAnswer struct {
	Shipment uint64
	Manifest raftlog.Manifest
	Rate     int64 `json:",omitempty"` // bytes a second that the source gives out at most, to all together; 0 = no limit, or the first release
}

type readRequest struct {
	Shipment uint64
	File     int
	Offset   int64
	Max      int
}

type tailRequest struct {
	Shipment uint64
	From     uint64
	Max      int
}

type closeRequest struct {
	Shipment  uint64
	Installed bool
}

// Handles tells whether a method of Peers' calls is for a Server.
func Handles(method string) bool { return strings.HasPrefix(method, prefix) }

func encode(v any) ([]byte, error) { return json.Marshal(v) }

func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "a malformed request to ship a log: %v", err)
	}
	return nil
}

func encodeTail(next uint64, entries []byte) []byte {
	binary.LittleEndian.PutUint64(entries, next)
	return entries
}

func decodeTail(body []byte) (next uint64, entries []byte, err error) {
	if len(body) < 8 {
		return 0, nil, errors.New("the answer is too short")
	}
	return binary.LittleEndian.Uint64(body), body[8:], nil
}

// answer gives an error of a shipment the form in which another broker understands it.
func answer(err error) error {
	var e *runnelv1.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return err
	case errors.Is(err, raftlog.ErrShipmentOver), errors.Is(err, raftlog.ErrClosed):
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "%v", err)
	}
	var r *raftlog.ResourceError
	if errors.As(err, &r) {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "%v", err)
	}
	return fmt.Errorf("ship a log: %w", err)
}
