package partition

import (
	"encoding/binary"

	"github.com/runnel-io/runnel/partition/record"
)

// A command is an entry without records by which a leader's decision reaches every replica at the same place of the log.
// Payload: version (1), type, then one int64, little endian. A replica that does not know a command skips it, which is the same on
// all replicas of one version only: a new command must be preceded by a way to know that every broker has it.
type commandType uint8

const (
	// commandTrim moves the log start to an offset.
	commandTrim commandType = 1
	// commandExpire forgets producers whose newest batch was appended at or before a time in milliseconds.
	commandExpire commandType = 2
)

const (
	commandVersion = 1
	commandLen     = 10
)

type command struct {
	kind commandType
	arg  int64
}

// entry is the command as an entry's data.
func (c command) entry(appendMS int64) []byte {
	b := make([]byte, record.EnvelopeLen+commandLen)
	record.PutEnvelope(b, record.KindCommand, appendMS)
	p := b[record.EnvelopeLen:]
	p[0], p[1] = commandVersion, byte(c.kind)
	binary.LittleEndian.PutUint64(p[2:], uint64(c.arg))
	return b
}

func parseCommand(p []byte) (c command, ok bool) {
	if len(p) != commandLen || p[0] != commandVersion {
		return command{}, false
	}
	c = command{kind: commandType(p[1]), arg: int64(binary.LittleEndian.Uint64(p[2:]))}
	return c, c.kind == commandTrim || c.kind == commandExpire
}
