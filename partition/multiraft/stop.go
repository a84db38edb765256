package multiraft

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

const (
	// closeAtOnce is how many logs Stop closes at a time. The disk serves about that many committers.
	closeAtOnce = 8
	// checkpointFor is how long after Stop began checkpoints are still written. Each is a commit of several milliseconds and
	// saves the next start some folding, no more; a broker has 8 s in all to stop.
	checkpointFor = 4 * time.Second
)

// Stop ends the heartbeats, stops all groups and closes their logs. Nothing may be called afterwards but Receive, Refused and Reached,
// which do nothing.
//
// The heartbeats end first, so that the other brokers' replicas elect new leaders whatever else takes its time here. Then the
// groups end in memory, one after the other, and each hears its peers until its turn comes. Only then is the disk needed.
func (h *Host) Stop() {
	if h.stopped.Swap(true) {
		return
	}
	begun := h.env.Now()
	h.beat.Stop()
	if h.timer != nil {
		h.timer.Stop()
	}
	groups := h.groups.close()
	for _, g := range groups {
		g.halt()
	}
	h.deaf.Store(true)
	h.flushLeaders(begun.Add(time.Hour)) // due or not: the beat that would do it later has ended
	h.groups.clear()
	c := closing{groups: groups, env: h.env, until: begun.Add(checkpointFor)}
	c.run()
	h.log.Info("stopped the replicas", "groups", len(groups), "without_checkpoint", c.bare.Load(), "took", h.env.Now().Sub(begun))
}

// closing is the closing of all logs by Stop.
type closing struct {
	env   *env.Env
	until time.Time // when to write no more checkpoints
	bare  atomic.Int64

	mu     sync.Mutex
	groups []*Group // not taken yet
}

// run closes all logs: on the caller's goroutine, and with the workers of the append tasks, which have nothing else to do by
// now, as far as they are free.
func (c *closing) run() {
	var helpers []env.Task
	for range min(closeAtOnce, len(c.groups)) - 1 {
		helpers = append(helpers, c.env.NewTask(env.ClassAppend, "close logs", c.work))
	}
	for _, t := range helpers {
		t.Wake()
	}
	c.work()
	for _, t := range helpers {
		t.Stop() // waits for the log that it has taken
	}
}

func (c *closing) work() {
	for g := c.take(); g != nil; g = c.take() {
		checkpoint := c.env.Now().Before(c.until)
		if !checkpoint {
			c.bare.Add(1)
		}
		if err := g.close(checkpoint); err != nil {
			g.log.Error("stopping the replica failed", "error", err)
		}
	}
}

func (c *closing) take() *Group {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.groups) == 0 {
		return nil
	}
	g := c.groups[0]
	c.groups = c.groups[1:]
	return g
}
