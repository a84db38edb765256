package main

import (
	"context"
	"maps"
	"slices"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// fakeSettings is what is set in the fake cluster: by broker, 0 is all.
type fakeSettings map[int32]map[string]string

// changeable are the settings that it knows; true: of the whole cluster.
var changeable = map[string]bool{"log.level": false, "recovery.parallel": true, "recovery.rate.bytes": false}

func (f *fakeCluster) ListSettings(_ context.Context, r *runnelv1.ListSettingsRequest) (*runnelv1.ListSettingsResponse, error) {
	if f.down != nil {
		return nil, f.down
	}
	id := r.GetBroker()
	if id > 3 {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER, "broker %d is not a member of the cluster", id)
	}
	resp := &runnelv1.ListSettingsResponse{Revision: 12}
	for _, k := range slices.Sorted(maps.Keys(changeable)) {
		d := &runnelv1.SettingDescription{Name: k, Reload: "runtime", Whole: changeable[k], Value: f.settings[0][k]}
		if d.Value != "" {
			d.Source = "cluster"
		}
		switch {
		case id == 0:
			for b := int32(1); b <= 3; b++ {
				if v, set := f.settings[b][k]; set {
					if d.Brokers == nil {
						d.Brokers = map[int32]string{}
					}
					d.Brokers[b] = v
				}
			}
		case f.settings[id][k] != "":
			d.Value, d.Source = f.settings[id][k], "broker"
		case d.Value == "":
			d.Value, d.Source = "1", "file"
		}
		if id != 0 {
			d.Base = "1"
		}
		resp.Settings = append(resp.Settings, d)
	}
	if id != 0 {
		resp.Settings = append(resp.Settings, &runnelv1.SettingDescription{Name: "rack", Source: "default", Reload: "restart"})
	}
	if f.trouble && id != 0 {
		resp.Settings = append(resp.Settings, &runnelv1.SettingDescription{
			Name: "of.tomorrow", Value: "1", Source: "cluster", Reload: "runtime", Problem: "this release of the broker does not know it",
		})
	}
	return resp, nil
}

func (f *fakeCluster) AlterSettings(_ context.Context, r *runnelv1.AlterSettingsRequest) (*runnelv1.AlterSettingsResponse, error) {
	if f.down != nil {
		return nil, f.down
	}
	resp := &runnelv1.AlterSettingsResponse{Revision: 13}
	own := map[string]string{}
	maps.Copy(own, f.settings[r.GetBroker()])
	for _, k := range slices.Sorted(maps.Keys(r.GetSet())) {
		if _, known := changeable[k]; !known {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING, "setting %q is unknown (did you mean %q?)", k, "log.level")
		}
		if v := r.GetSet()[k]; own[k] != v {
			resp.Changes = append(resp.Changes, &runnelv1.SettingChange{Name: k, Old: own[k], New: v})
			own[k] = v
		}
	}
	for _, k := range r.GetUnset() {
		if own[k] != "" {
			resp.Changes = append(resp.Changes, &runnelv1.SettingChange{Name: k, Old: own[k]})
			delete(own, k)
		}
	}
	if f.settings == nil {
		f.settings = fakeSettings{}
	}
	f.settings[r.GetBroker()] = own
	return resp, nil
}
