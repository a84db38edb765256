package admin

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// MethodSettings is the name under which brokers ask each other for their settings.
const MethodSettings = "broker.settings"

// settingsFormat is the version of the answer.
const settingsFormat = 1

// Where a setting's value is from, beside file, variable and flag.
const (
	SourceStart   = "start"   // the broker was started with it, in another way
	SourceCluster = "cluster" // set for all brokers while they ran
	SourceBroker  = "broker"  // set for this broker
)

// When a change of a setting takes effect.
const (
	ReloadRestart = "restart" // at the next start
	ReloadRuntime = "runtime" // at once, by AlterSettings
	ReloadFile    = "file"    // when the file that it names changes
)

// Setting is a setting of one broker.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"` // in force
	// Base is what the broker was started with.
	Base   string `json:"base,omitempty"`
	Source string `json:"source"`
	Reload string `json:"reload"`
	// Whole settings hold for the whole cluster: the controller's leader goes by them, and no broker has its own.
	Whole bool `json:"whole,omitempty"`
	// Problem is why a value that is set is not followed.
	Problem string `json:"problem,omitempty"`
}

type settingsAnswer struct {
	Format   int       `json:"format"`
	Settings []Setting `json:"settings"`
}

// ServeSettings answers "broker.settings" of another broker.
func ServeSettings(_ []byte, settings []Setting) ([]byte, error) {
	out, err := json.Marshal(settingsAnswer{Format: settingsFormat, Settings: settings})
	if err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "encode settings: %v", err)
	}
	return out, nil
}

// ListSettings implements runnelv1.AdminServer.
func (s *Server) ListSettings(ctx context.Context, r *runnelv1.ListSettingsRequest) (*runnelv1.ListSettingsResponse, error) {
	const api = "list_settings"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	st, id := s.cluster.State(), r.GetBroker()
	switch {
	case id < 0:
		return nil, s.fail(api, invalid("%d is no broker's id: they begin at 1, and 0 asks for the whole cluster's settings", id))
	case id == 0:
		return &runnelv1.ListSettingsResponse{Revision: st.Revision, Settings: s.clusterSettings(st)}, nil
	case st.Brokers[id] == nil:
		return nil, s.fail(api, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER, "broker %d is not a member of the cluster", id))
	}
	wait, end := s.within(ctx, min(askWait, s.patience(ctx)))
	defer end()
	own, err := s.settingsOf(wait, id)
	if err != nil {
		return nil, s.fail(api, err)
	}
	resp := &runnelv1.ListSettingsResponse{Revision: st.Revision}
	for _, x := range own {
		resp.Settings = append(resp.Settings, describeSetting(x))
	}
	return resp, nil
}

// settingsOf asks a broker, perhaps this one, for its settings.
func (s *Server) settingsOf(ctx context.Context, id int32) ([]Setting, error) {
	if id == s.id {
		return s.settings(), nil
	}
	b, err := s.caller.Call(ctx, id, MethodSettings, nil)
	if err != nil {
		return nil, err
	}
	return readSettings(id, b)
}

// readSettings reads the answer of another broker.
func readSettings(id int32, b []byte) ([]Setting, error) {
	var a settingsAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "broker %d told its settings in a form that is not readable: %s", id, cut(err.Error()))
	}
	if a.Format != settingsFormat {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL,
			"broker %d told its settings in format %d and this broker knows format %d: ask it itself, or run one version", id, a.Format, settingsFormat)
	}
	return a.Settings, nil
}

func describeSetting(x Setting) *runnelv1.SettingDescription {
	return &runnelv1.SettingDescription{Name: x.Name, Value: x.Value, Base: x.Base, Source: x.Source, Reload: x.Reload, Whole: x.Whole, Problem: x.Problem}
}

// clusterSettings are those that change at run time and what is set, for all and for single brokers.
func (s *Server) clusterSettings(st *placement.State) []*runnelv1.SettingDescription {
	rows := map[string]*runnelv1.SettingDescription{}
	row := func(name string) *runnelv1.SettingDescription {
		if rows[name] == nil {
			rows[name] = &runnelv1.SettingDescription{Name: name, Reload: ReloadRuntime}
		}
		return rows[name]
	}
	for _, x := range s.settings() {
		if x.Reload == ReloadRuntime {
			row(x.Name).Whole = x.Whole
		}
	}
	for k, v := range st.Settings {
		row(k).Value, row(k).Source = v, SourceCluster
	}
	for id, own := range st.BrokerSettings {
		for k, v := range own {
			r := row(k)
			if r.Brokers == nil {
				r.Brokers = map[int32]string{}
			}
			r.Brokers[id] = v
		}
	}
	out := make([]*runnelv1.SettingDescription, 0, len(rows))
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, rows[name])
	}
	return out
}

// AlterSettings implements runnelv1.AdminServer.
func (s *Server) AlterSettings(ctx context.Context, r *runnelv1.AlterSettingsRequest) (*runnelv1.AlterSettingsResponse, error) {
	const api = "alter_settings"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	switch {
	case r.GetBroker() < 0:
		return nil, s.fail(api, invalid("%d is no broker's id: they begin at 1, and 0 means the whole cluster", r.GetBroker()))
	case len(r.GetSet())+len(r.GetUnset()) == 0:
		return nil, s.fail(api, invalid("nothing is to be changed: name settings to set or to remove"))
	case len(r.GetSet())+len(r.GetUnset()) > placement.MaxConfigEntries:
		return nil, s.fail(api, invalid("%d settings are named: at most %d at a time", len(r.GetSet())+len(r.GetUnset()), placement.MaxConfigEntries))
	}
	res, err := s.change(ctx, api, controller.AlterSettings{
		Broker: r.GetBroker(), Set: r.GetSet(), Unset: slices.Compact(slices.Sorted(slices.Values(r.GetUnset()))), By: askedBy(ctx),
	})
	if err != nil {
		return nil, err
	}
	resp := &runnelv1.AlterSettingsResponse{Revision: res.Revision}
	for _, x := range res.Changes {
		resp.Changes = append(resp.Changes, &runnelv1.SettingChange{Name: x.Key, Old: x.Old, New: x.New})
	}
	return resp, nil
}
