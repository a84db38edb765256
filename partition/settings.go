package partition

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// MaxBatchBytes is the largest record batch that any topic may allow, in bytes as the producer sends it. A batch is one
// raft entry, and the transport between brokers cannot cut an entry: a larger one could never reach a follower, and
// nothing after it either. rpc/peer tests that its frames carry this much.
const MaxBatchBytes = 15 << 20

// Settings are a topic's settings, under Kafka's names where Kafka has them.
type Settings struct {
	// RetentionMS is how long records are kept after they were appended, in milliseconds; -1 = forever. Whole segments
	// go, so the newest of a segment counts.
	RetentionMS int64
	// RetentionBytes is how much of a partition is kept on each replica; -1 = all. The newest segment always stays.
	RetentionBytes int64
	// SegmentBytes and SegmentMS say when a segment is full, by size in bytes and by age in milliseconds.
	SegmentBytes, SegmentMS int64
	// MaxMessageBytes is the largest record batch in bytes, as the producer sends it; at most MaxBatchBytes.
	MaxMessageBytes int32
	// ProducerExpiryMS is after how many idle milliseconds an idempotent producer's sequence is forgotten.
	ProducerExpiryMS int64
	// SkipCountCheck believes the record count of compressed batches instead of decompressing them (RULES 31).
	SkipCountCheck bool
}

// minProducerExpiry: a producer idle for less is never forgotten (RULES 15).
const minProducerExpiry = 15 * time.Minute

// DefaultSettings are those of a topic created without any.
func DefaultSettings() Settings {
	return Settings{
		RetentionMS: (7 * 24 * time.Hour).Milliseconds(), RetentionBytes: -1,
		SegmentBytes: 256 << 20, SegmentMS: (7 * 24 * time.Hour).Milliseconds(),
		MaxMessageBytes: 1<<20 + 12, ProducerExpiryMS: (24 * time.Hour).Milliseconds(),
	}
}

// batchBytes is the largest batch accepted: whoever made the settings, none that raft could not replicate.
func (s Settings) batchBytes() int { return min(int(s.MaxMessageBytes), MaxBatchBytes) }

// A setting reads its value into s. The problem is "" if the value is good.
type setting struct {
	help string
	set  func(s *Settings, value string) (problem string)
	// For the reference page. Bounds is 0, 0 for what is no number; show gives the default.
	unit        string
	least, most int64
	show        func(s Settings) string
}

var settings = map[string]setting{
	"retention.ms": integer("how long records are kept after they were appended, by whole segments; -1 for ever", "milliseconds", -1, math.MaxInt64,
		func(s *Settings) *int64 { return &s.RetentionMS }),
	"retention.bytes": integer("how much of a partition is kept on each replica, by whole segments; -1 for all", "bytes", -1, math.MaxInt64,
		func(s *Settings) *int64 { return &s.RetentionBytes }),
	"segment.bytes": integer("size at which a segment is full; a topic that does not name it goes by its broker's", "bytes", 64<<10, 1<<30, func(s *Settings) *int64 { return &s.SegmentBytes }),
	"segment.ms": integer("age at which a segment is full", "milliseconds", 1, math.MaxInt64/int64(time.Millisecond),
		func(s *Settings) *int64 { return &s.SegmentMS }),
	"max.message.bytes": integer("largest record batch, as the producer sends it", "bytes", 1<<10, MaxBatchBytes, func(s *Settings) *int32 { return &s.MaxMessageBytes }),
	"producer.expiry.ms": integer("idle time after which an idempotent producer's sequence is forgotten", "milliseconds", minProducerExpiry.Milliseconds(), math.MaxInt64,
		func(s *Settings) *int64 { return &s.ProducerExpiryMS }),
	"message.count.check": {
		help: "whether compressed batches are decompressed to check their record count", unit: "true, false",
		set: func(s *Settings, value string) string {
			on, err := strconv.ParseBool(value)
			if err != nil {
				return "use true or false"
			}
			s.SkipCountCheck = !on
			return ""
		},
		show: func(s Settings) string { return strconv.FormatBool(!s.SkipCountCheck) },
	},
	"compression.type": oneOf("producer", "how batches are compressed: as producers do it", "brokers store batches as producers compress them"),
	"cleanup.policy":   oneOf("delete", "what becomes of old segments: they are deleted by age and size", "log compaction is not supported"),
}

// integer is a whole number from low to high, kept in a field.
func integer[N int32 | int64](help, unit string, low, high int64, field func(*Settings) *N) setting {
	return setting{
		help: help, unit: unit, least: low, most: high,
		set: func(s *Settings, value string) string {
			v, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil || v < low || v > high {
				if high == math.MaxInt64 {
					return fmt.Sprintf("use a whole number from %d up", low)
				}
				return fmt.Sprintf("use a whole number from %d to %d", low, high)
			}
			*field(s) = N(v)
			return ""
		},
		show: func(s Settings) string { return strconv.FormatInt(int64(*field(&s)), 10) },
	}
}

func oneOf(only, help, why string) setting {
	return setting{
		help: help, unit: only,
		set: func(_ *Settings, value string) string {
			if value == only {
				return ""
			}
			return fmt.Sprintf("use %s: %s", only, why)
		},
		show: func(Settings) string { return only },
	}
}

// SettingDoc describes a setting for people.
type SettingDoc struct {
	Name, Help string
	// Value says how it is written; Least and Greatest are empty where there is no bound.
	Value, Default, Least, Greatest string
}

// SettingDocs describes every setting, by name.
func SettingDocs() []SettingDoc {
	var out []SettingDoc
	for _, name := range KnownSettings() {
		s := settings[name]
		d := SettingDoc{Name: name, Help: s.help, Value: s.unit, Default: s.show(DefaultSettings())}
		if s.most != 0 {
			d.Least = strconv.FormatInt(s.least, 10)
			if s.most != math.MaxInt64 {
				d.Greatest = strconv.FormatInt(s.most, 10)
			}
		}
		out = append(out, d)
	}
	return out
}

// KnownSettings are the names that ParseSettings knows, sorted.
func KnownSettings() []string { return slices.Sorted(maps.Keys(settings)) }

// ParseSettings reads a topic's settings over the defaults. It names every mistake at once: the error is a
// *runnelv1.Error, UNKNOWN_SETTING with the known names and the one that was probably meant, or INVALID_ARGUMENT.
func ParseSettings(config map[string]string) (Settings, error) {
	s := DefaultSettings()
	reason := runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(config)) {
		known, ok := settings[name]
		if !ok {
			reason = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING
			p := fmt.Sprintf("setting %q is unknown", name)
			if near := nearest(name); near != "" {
				p += fmt.Sprintf(" (did you mean %q?)", near)
			}
			problems = append(problems, p)
			continue
		}
		if p := known.set(&s, config[name]); p != "" {
			problems = append(problems, fmt.Sprintf("setting %s=%q: %s", name, config[name], p))
		}
	}
	if reason == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING {
		problems = append(problems, "the known settings are "+strings.Join(KnownSettings(), ", "))
	}
	if len(problems) > 0 {
		return Settings{}, runnelv1.Errorf(reason, "%s", strings.Join(problems, "; "))
	}
	return s, nil
}

// nearest is the known setting that name was probably meant to be: the one with the least edit distance, at most a third
// of its length. It is "" if there is none, since a far-fetched guess misleads.
func nearest(name string) string {
	best, least := "", math.MaxInt
	for _, k := range KnownSettings() {
		if d := editDistance(name, k); d < least && 3*d <= len(k) {
			best, least = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's, by the usual two rows.
func editDistance(a, b string) int {
	if len(a) > 256 {
		a = a[:256] // a client's string: keep the work small
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
