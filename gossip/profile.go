package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// label goes in front of every packet and stream; brokers of another gossip protocol do not hear each other at all.
const label = "runnel1"

// Profile chooses timings.
type Profile int

// The profiles.
const (
	// ProfileLAN is for brokers on machines of their own. It is slow to suspect: a starved CPU must not look dead. Raft
	// and the heartbeats between brokers detect failures in under a second; this is for finding and replacing brokers.
	ProfileLAN Profile = iota
	// ProfileLocal is for tests and demos on one machine: the same behaviour, faster.
	ProfileLocal
)

func (p Profile) rejoinInterval() time.Duration {
	if p == ProfileLocal {
		return 250 * time.Millisecond
	}
	return 5 * time.Second
}

func (p Profile) memberlist() *memberlist.Config {
	if p == ProfileLocal {
		c := memberlist.DefaultLocalConfig()
		c.ProbeInterval = 500 * time.Millisecond
		c.ProbeTimeout = 300 * time.Millisecond
		c.SuspicionMult = 4 // 2 s
		c.GossipInterval = 50 * time.Millisecond
		c.PushPullInterval = 2 * time.Second
		c.TCPTimeout = 2 * time.Second
		return tune(c)
	}
	c := memberlist.DefaultLANConfig()
	c.GossipInterval = 500 * time.Millisecond // it wakes an idle broker each time; who is dead is replaced after minutes
	c.ProbeInterval = 2 * time.Second         // leaves a second for indirect probes after the direct one timed out
	c.ProbeTimeout = time.Second
	c.SuspicionMult = 6 // 12 s for up to ten brokers
	c.TCPTimeout = 5 * time.Second
	return tune(c)
}

func tune(c *memberlist.Config) *memberlist.Config {
	// A name is one boot, so this matters only for a boot that changes its address.
	c.DeadNodeReclaimTime = 30 * time.Second
	c.EnableCompression = false // a Meta is small, and LZW costs memory on both sides
	return c
}
