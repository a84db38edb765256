package peer

import "fmt"

// versions is a range of versions of the protocol between brokers. A hello carries the oldest in the field that was all there was at first,
// so a release that compares that field alone still finds the one that it shares.
type versions struct{ oldest, newest uint32 }

func versionsOf(h hello) versions {
	return versions{h.GetProtocolVersion(), max(h.GetProtocolVersion(), h.GetMaxProtocolVersion())}
}

// common is the highest version that both speak, 0 if there is none.
func (v versions) common(other versions) uint32 {
	c := min(v.newest, other.newest)
	if c < max(v.oldest, other.oldest) {
		return 0
	}
	return c
}

func (v versions) String() string {
	if v.oldest == v.newest {
		return fmt.Sprintf("version %d", v.oldest)
	}
	return fmt.Sprintf("versions %d to %d", v.oldest, v.newest)
}

// nothingShared says of two brokers without a common version which one is to be upgraded. Either may read it.
func (v versions) nothingShared(own Identity, other hello, theirs versions) string {
	behind := other.GetBrokerId()
	if v.newest < theirs.newest {
		behind = own.BrokerID
	}
	whom := fmt.Sprintf("broker %d", behind)
	if behind == 0 {
		whom = "the broker that joins"
	}
	return fmt.Sprintf("broker %d (release %q) speaks %v of the protocol between brokers, broker %d (release %q) %v: upgrade %s, to a release between the two first if there is one",
		other.GetBrokerId(), other.GetVersion(), theirs, own.BrokerID, own.Version, v, whom)
}
