package controller

import (
	"fmt"
	"strings"
	"time"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Tuning is what of the Config changes while the controller runs.
type Tuning struct {
	ReplaceAfter time.Duration
	Parallel     int
	Automatic    bool
}

// tuning is what holds in a state.
func (c *Config) tuning(s *placement.State) Tuning {
	t := Tuning{ReplaceAfter: c.ReplaceAfter, Parallel: c.Parallel, Automatic: c.Automatic}
	if c.Tune != nil {
		t = c.Tune(s, t)
	}
	return t
}

// planSettings makes the command that alters settings.
func (c *Controller) planSettings(s *placement.State, r AlterSettings) (placement.Command, *runnelv1.Error) {
	before := s.Settings
	if r.Broker != 0 {
		before = s.BrokerSettings[r.Broker]
	}
	var unset []string // what is set goes, whether or not this release knows it
	for _, k := range r.Unset {
		if _, both := r.Set[k]; both {
			return nil, invalid("%s is to be set and to be removed: name it once", k)
		}
		if _, there := before[k]; !there {
			unset = append(unset, k)
		}
	}
	if c.cfg.ValidateSettings != nil {
		if err := c.cfg.ValidateSettings(r.Broker, r.Set, unset); err != nil {
			return nil, runnelv1.AsError(err)
		}
	}
	return placement.AlterSettings{Broker: r.Broker, Set: r.Set, Unset: r.Unset, By: r.By}, nil
}

// audit writes who changed what, in one line, on the broker that proposed the command: once, and when it is committed. If that broker ends before,
// nobody writes it; the command stands in the group's log in any case.
func (c *Controller) audit(cmd placement.Command, r placement.Result, revision uint64) {
	var of, by string
	switch cmd := cmd.(type) {
	case placement.AlterSettings:
		of, by = "cluster", cmd.By
		if cmd.Broker != 0 {
			of = fmt.Sprintf("broker %d", cmd.Broker)
		}
	case placement.AlterTopicConfig:
		of, by = "topic "+cmd.Name, cmd.By
	case placement.AddPartitions:
		of, by = "topic "+cmd.Topic, cmd.By
	case placement.SetReplicationFactor:
		of, by = "topic "+cmd.Topic, cmd.By
	}
	if of == "" || len(r.Changes) == 0 {
		return
	}
	changes := make([]string, len(r.Changes))
	for i, x := range r.Changes {
		changes[i] = fmt.Sprintf("%s: %s -> %s", x.Key, orUnset(x.Old), orUnset(x.New))
	}
	if by == "" {
		by = "unknown"
	}
	c.auditLog.Info("settings changed", "of", of, "changes", strings.Join(changes, ", "), "by", by, "revision", revision)
}

func orUnset(v string) string {
	if v == "" {
		return "unset"
	}
	return v
}
