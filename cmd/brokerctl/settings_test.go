package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/partition"
)

func TestTheHelpListsTheSettingsThatBrokersKnow(t *testing.T) {
	var names []string
	for _, s := range topicSettings {
		names = append(names, s.name)
	}
	if known := partition.KnownSettings(); !slices.Equal(names, known) {
		t.Errorf("the help has %v, brokers know %v", names, known)
	}
	help := try(t.Context(), newFakeCluster(), "", "topic", "create", "--help").out
	d := partition.DefaultSettings()
	for name, value := range map[string]int64{
		"max.message.bytes": int64(d.MaxMessageBytes), "producer.expiry.ms": d.ProducerExpiryMS, "retention.bytes": d.RetentionBytes,
		"retention.ms": d.RetentionMS, "segment.bytes": d.SegmentBytes, "segment.ms": d.SegmentMS,
	} {
		i := strings.Index(help, "  "+name+" ")
		if i < 0 {
			t.Errorf("no %s in %s", name, help)
			continue
		}
		if line, _, _ := strings.Cut(help[i:], "\n"); !strings.Contains(line, fmt.Sprintf("(%d", value)) {
			t.Errorf("%q does not have the default %d", line, value)
		}
	}
}
