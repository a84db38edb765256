package main

import (
	"fmt"
	"strings"
)

// topicSettings are what brokers know as a topic's settings, for the help. A test holds them against the brokers' own list.
var topicSettings = []struct{ name, what string }{
	{"cleanup.policy", "delete; log compaction is not supported"},
	{"compression.type", "producer: batches stay as producers compress them"},
	{"max.message.bytes", "largest record batch in bytes (1048588)"},
	{"message.count.check", "whether compressed batches are opened to check their record count, true or false (true)"},
	{"producer.expiry.ms", "idle time after which a producer's sequence is forgotten, 900000 or more (86400000, a day)"},
	{"retention.bytes", "bytes kept of each partition on each replica, -1 for all (-1)"},
	{"retention.ms", "how long records are kept, -1 for ever (604800000, a week)"},
	{"segment.bytes", "size at which a log file is full (268435456)"},
	{"segment.ms", "age at which a log file is full (604800000, a week)"},
}

// settingsHelp lists them, one a line, with the default in brackets.
func settingsHelp() string {
	var b strings.Builder
	b.WriteString("Settings for --config, with their defaults:\n")
	for _, s := range topicSettings {
		fmt.Fprintf(&b, "  %-20s %s\n", s.name, s.what)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
