package placement

import (
	"maps"
	"slices"
)

// AlterSettings sets and removes settings of brokers, which they follow while they run: of all brokers, or of one, which has its own before
// the cluster's. Keys and values were checked by whoever proposed this: Apply cannot know which of them a release knows, for all brokers
// must come to the same state.
type AlterSettings struct {
	Broker int32             `json:"broker,omitempty"` // 0: all
	Set    map[string]string `json:"set,omitempty"`
	Unset  []string          `json:"unset,omitempty"`
	// By tells who asked for it, for people: an address, and a name where there is one. It changes nothing.
	By string `json:"by,omitempty"`
}

func (AlterSettings) isCommand() {}

// Level is that of the release which brought it.
func (AlterSettings) Level() int { return 2 }

// Change is a setting that became different. Old and New are empty where it was not set, or is not any more.
type Change struct {
	Key string `json:"key"`
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
}

// changesOf compares settings, by rising key.
func changesOf(before, after map[string]string) []Change {
	keys := slices.Collect(maps.Keys(before))
	for k := range after {
		if _, both := before[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var out []Change
	for _, k := range keys {
		old, was := before[k]
		now, is := after[k]
		if old != now || was != is {
			out = append(out, Change{Key: k, Old: old, New: now})
		}
	}
	return out
}

// merged gives settings with some set and some removed; nil if none is left.
func merged(config, set map[string]string, unset []string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, config)
	maps.Copy(out, set)
	for _, k := range unset {
		delete(out, k)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (s *State) alterSettings(c AlterSettings) (Result, error) {
	before := s.Settings
	if c.Broker != 0 {
		if s.Brokers[c.Broker] == nil {
			return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of the cluster", c.Broker)
		}
		before = s.BrokerSettings[c.Broker]
	}
	after := merged(before, c.Set, c.Unset)
	if err := validateSettings(after); err != nil {
		return Result{}, err
	}
	r := Result{Broker: c.Broker, Changes: changesOf(before, after)}
	if len(r.Changes) == 0 {
		return r, nil
	}
	r.Changed = true
	switch {
	case c.Broker == 0:
		s.Settings = after
	case after == nil:
		s.forgetSettings(c.Broker)
	default:
		own := map[int32]map[string]string{}
		maps.Copy(own, s.BrokerSettings)
		own[c.Broker] = after
		s.BrokerSettings = own
	}
	return r, nil
}

// forgetSettings removes what is set for a broker alone.
func (s *State) forgetSettings(broker int32) {
	if _, set := s.BrokerSettings[broker]; !set {
		return
	}
	own := maps.Clone(s.BrokerSettings)
	delete(own, broker)
	if len(own) == 0 {
		own = nil
	}
	s.BrokerSettings = own
}

func validateSettings(settings map[string]string) error {
	if len(settings) > MaxConfigEntries {
		return Errorf(CodeInvalid, "%d settings would be set: at most %d can be", len(settings), MaxConfigEntries)
	}
	n := 0
	for k, v := range settings {
		if k == "" {
			return Errorf(CodeInvalid, "a setting has no name")
		}
		n += len(k) + len(v)
	}
	if n > MaxConfigBytes {
		return Errorf(CodeInvalid, "the settings are %d bytes long: at most %d are allowed", n, MaxConfigBytes)
	}
	return nil
}
