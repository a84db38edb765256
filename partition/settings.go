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
type setting func(s *Settings, value string) (problem string)

var settings = map[string]setting{
	"retention.ms":    integer(-1, math.MaxInt64, func(s *Settings, v int64) { s.RetentionMS = v }),
	"retention.bytes": integer(-1, math.MaxInt64, func(s *Settings, v int64) { s.RetentionBytes = v }),
	"segment.bytes":   integer(64<<10, 1<<30, func(s *Settings, v int64) { s.SegmentBytes = v }),
	"segment.ms":      integer(1, math.MaxInt64/int64(time.Millisecond), func(s *Settings, v int64) { s.SegmentMS = v }),
	"max.message.bytes": integer(1<<10, MaxBatchBytes, func(s *Settings, v int64) {
		s.MaxMessageBytes = int32(v)
	}),
	"producer.expiry.ms": integer(minProducerExpiry.Milliseconds(), math.MaxInt64, func(s *Settings, v int64) {
		s.ProducerExpiryMS = v
	}),
	"message.count.check": func(s *Settings, value string) string {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return "use true or false"
		}
		s.SkipCountCheck = !on
		return ""
	},
	"compression.type": oneOf("producer", "brokers store batches as producers compress them"),
	"cleanup.policy":   oneOf("delete", "log compaction is not supported"),
}

func integer(low, high int64, set func(*Settings, int64)) setting {
	return func(s *Settings, value string) string {
		v, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil || v < low || v > high {
			if high == math.MaxInt64 {
				return fmt.Sprintf("use a whole number from %d up", low)
			}
			return fmt.Sprintf("use a whole number from %d to %d", low, high)
		}
		set(s, v)
		return ""
	}
}

func oneOf(only, why string) setting {
	return func(_ *Settings, value string) string {
		if value == only {
			return ""
		}
		return fmt.Sprintf("use %s: %s", only, why)
	}
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
		set, ok := settings[name]
		if !ok {
			reason = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING
			p := fmt.Sprintf("setting %q is unknown", name)
			if near := nearest(name); near != "" {
				p += fmt.Sprintf(" (did you mean %q?)", near)
			}
			problems = append(problems, p)
			continue
		}
		if p := set(&s, config[name]); p != "" {
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
