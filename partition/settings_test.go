package partition

import (
	"errors"
	"slices"
	"strings"
	"testing"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestParseSettings(t *testing.T) {
	s, err := ParseSettings(map[string]string{
		"retention.ms": "60000", "retention.bytes": "-1", "segment.bytes": "1048576", "max.message.bytes": "2097152",
		"compression.type": "producer", "cleanup.policy": "delete", "producer.expiry.ms": "900000", "message.count.check": "false",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultSettings()
	want.RetentionMS, want.SegmentBytes, want.MaxMessageBytes, want.ProducerExpiryMS, want.SkipCountCheck = 60000, 1<<20, 2<<20, 900000, true
	if s != want {
		t.Fatalf("got %+v\nwant %+v", s, want)
	}
	if s, err = ParseSettings(nil); err != nil || s != DefaultSettings() {
		t.Fatalf("got %+v, %v", s, err)
	}
	if !slices.IsSorted(KnownSettings()) || len(KnownSettings()) != len(settings) {
		t.Fatal(KnownSettings())
	}
}

func TestAFarFetchedNameIsNotSuggested(t *testing.T) {
	list := "the known settings are " + strings.Join(KnownSettings(), ", ")
	for name, want := range map[string]string{
		"min.insync.replicas": `setting "min.insync.replicas" is unknown; ` + list,
		"x":                   `setting "x" is unknown; ` + list,
		"":                    `setting "" is unknown; ` + list,
		"retention_ms":        `setting "retention_ms" is unknown (did you mean "retention.ms"?); ` + list,
		"compresion.typ":      `setting "compresion.typ" is unknown (did you mean "compression.type"?); ` + list,
	} {
		if _, err := ParseSettings(map[string]string{name: "1"}); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func TestSettingsNameEveryMistakeAndTheNearestName(t *testing.T) {
	_, err := ParseSettings(map[string]string{"retention.msec": "1", "segment.bytes": "12", "max.mesage.bytes": "1"})
	var e *runnelv1.Error
	if !errors.As(err, &e) || e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{`"retention.msec" is unknown`, `"retention.ms"`, `segment.bytes="12"`, `"max.message.bytes"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	for name, value := range map[string]string{
		"retention.ms": "-2", "retention.bytes": "lots", "producer.expiry.ms": "899999", "cleanup.policy": "compact",
		"compression.type": "zstd", "message.count.check": "perhaps", "max.message.bytes": "9999999999",
	} {
		_, err := ParseSettings(map[string]string{name: value})
		if !errors.As(err, &e) || e.GetReason() != reasonInvalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
