package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
)

// MaxMeta is the most bytes an encoded Meta may have (memberlist's limit).
const MaxMeta = 512

// ClusterIDBytes is the length of a cluster's id. Start keeps room for it.
const ClusterIDBytes = 32

// metaVersion is the first byte of an encoded Meta. A new version may only append fields, so that an older broker reads
// what it knows of a newer one; a change of meaning needs a new label.
const metaVersion = 1

// Meta is what a broker says about itself to all others. Every field is a hint.
type Meta struct {
	BrokerID  int32  // 0 until the broker belongs to a cluster
	Nonce     uint64 // drawn at each start of the process; never 0
	ClusterID string // "" until the broker belongs to a cluster
	Client    string // advertised host:port of the client service
	Peer      string // advertised host:port of the peer service
	HTTP      string // advertised host:port of metrics and health
	Rack      string
	Version   string // the broker's release, for people
	Empty     bool   // the disk has no data and never belonged to a cluster
	SeedsHash uint32 // HashSeeds of the broker's seed list
	BootMS    int64  // when the process started, Unix ms; tells which of two boots is newer
	Level     uint32 // the highest level of the controller's commands that the broker's release reads; 0: it is from before there were levels
}

// HashSeeds hashes a seed list as written. The order counts, since the first seed founds. An empty list is 0.
func HashSeeds(seeds []string) uint32 {
	if len(seeds) == 0 {
		return 0
	}
	h := crc32.NewIEEE()
	for _, s := range seeds {
		_, _ = h.Write([]byte(s)) // a hash never fails
		_, _ = h.Write([]byte{0})
	}
	if s := h.Sum32(); s != 0 {
		return s
	}
	return 1
}

// Encode writes m compactly. It fails if m does not fit; the error names the longest texts.
func (m Meta) Encode() ([]byte, error) {
	var flags byte
	if m.Empty {
		flags |= 1
	}
	b := make([]byte, 0, 128)
	b = append(b, metaVersion, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.BrokerID))
	b = binary.LittleEndian.AppendUint64(b, m.Nonce)
	b = binary.LittleEndian.AppendUint32(b, m.SeedsHash)
	b = binary.AppendVarint(b, m.BootMS)
	for _, s := range m.texts() {
		b = binary.AppendUvarint(b, uint64(len(*s)))
		b = append(b, *s...)
	}
	b = binary.AppendUvarint(b, uint64(m.Level))
	if len(b) > MaxMeta {
		return nil, fmt.Errorf("gossip: what this broker announces is %d bytes, %d fit: shorten the advertised addresses, the rack or the version "+
			"(client %d, peer %d, http %d, rack %d, version %d, cluster id %d bytes)",
			len(b), MaxMeta, len(m.Client), len(m.Peer), len(m.HTTP), len(m.Rack), len(m.Version), len(m.ClusterID))
	}
	return b, nil
}

// encodeFirst writes what a broker announces at its start. It fails as well if the broker belongs to no cluster yet and m would not fit once
// it has a cluster's id: that comes when the broker is a member for good, and nothing else of m grows then.
func (m Meta) encodeFirst() ([]byte, error) {
	if m.ClusterID == "" {
		later := m
		later.ClusterID = strings.Repeat("0", ClusterIDBytes)
		if _, err := later.Encode(); err != nil {
			return nil, fmt.Errorf("%w; this broker belongs to no cluster yet, and the id of its cluster needs room", err)
		}
	}
	return m.Encode()
}

// texts lists the text fields in the order of the encoding.
func (m *Meta) texts() [6]*string {
	return [6]*string{&m.ClusterID, &m.Client, &m.Peer, &m.HTTP, &m.Rack, &m.Version}
}

var errShortMeta = errors.New("gossip: a member's announcement is cut short")

// DecodeMeta reads what Encode wrote. Bytes after the known fields belong to a newer version and are ignored.
func DecodeMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) < 18 {
		return m, errShortMeta
	}
	if len(b) > MaxMeta {
		return m, fmt.Errorf("gossip: a member announces %d bytes, above %d", len(b), MaxMeta)
	}
	if b[0] < metaVersion {
		return m, fmt.Errorf("gossip: a member announces format %d, this broker reads %d and newer", b[0], metaVersion)
	}
	m.Empty = b[1]&1 != 0
	m.BrokerID = int32(binary.LittleEndian.Uint32(b[2:]))
	m.Nonce = binary.LittleEndian.Uint64(b[6:])
	m.SeedsHash = binary.LittleEndian.Uint32(b[14:])
	b = b[18:]
	boot, n := binary.Varint(b)
	if n <= 0 {
		return m, errShortMeta
	}
	m.BootMS, b = boot, b[n:]
	for _, s := range m.texts() {
		l, n := binary.Uvarint(b)
		if n <= 0 || l > math.MaxInt32 || int(l) > len(b)-n {
			return m, errShortMeta
		}
		*s = string(b[n : n+int(l)])
		b = b[n+int(l):]
	}
	if len(b) > 0 { // the first release ends here
		level, n := binary.Uvarint(b)
		if n <= 0 || level > math.MaxInt32 {
			return m, errShortMeta
		}
		m.Level = uint32(level)
	}
	if m.Nonce == 0 || m.BrokerID < 0 {
		return m, fmt.Errorf("gossip: a member announces broker id %d and boot nonce %d, which no broker has", m.BrokerID, m.Nonce)
	}
	return m, nil
}
