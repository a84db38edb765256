package natspeer

import (
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/runnel-io/runnel/bench/peers/system"
	"github.com/runnel-io/runnel/cmd/brokerctl/load"
)

// reading is a way to consume.
type reading int

const (
	pullOrdered reading = iota // the client library's reader of a log
	pullNoAck                  // a consumer in memory without acknowledgements
	pushOrdered                // the older interface: the server sends as fast as the client takes
)

// option is a way to publish or to consume.
type option struct {
	name, settings string
	use            system.Use
	read           reading
	oneStream      bool
	window         int // async: unacknowledged messages; fast: the acknowledgement's interval
	make           func(*nats.Conn, layout, int, option) (load.Producer, error)
}

// all options. Each throughput option has both layouts, as which is better differs between them and with the machine.
func all() []option {
	return []option{
		{name: "async-500", settings: "PublishAsync, window 500 messages or 16 MiB", window: 500, use: system.Many, make: newAsync},
		{name: "async-5000", settings: "PublishAsync, window 5000 messages or 16 MiB", window: 5000, use: system.Many, make: newAsync},
		{name: "atomic", settings: "atomic batches of 1000 messages or 1 MiB, 4 in flight a producer", use: system.Many, make: newAtomic},
		{name: "fast", settings: "fast ingest, an acknowledgement each 500 messages, 4 outstanding, 16 MiB in flight", window: 500, use: system.Many, make: newFast},
		{name: "async-500-one", settings: "PublishAsync, window 500 messages or 16 MiB", window: 500, oneStream: true, use: system.Many, make: newAsync},
		{name: "async-5000-one", settings: "PublishAsync, window 5000 messages or 16 MiB", window: 5000, oneStream: true, use: system.Many, make: newAsync},
		{name: "atomic-one", settings: "atomic batches of 1000 messages or 1 MiB, 4 in flight a producer", oneStream: true, use: system.Many, make: newAtomic},
		{name: "fast-one", settings: "fast ingest, an acknowledgement each 2000 messages, 4 outstanding, 16 MiB in flight", window: 2000, oneStream: true, use: system.Many, make: newFast},
		{name: "single", settings: "PublishAsync, window 500 messages or 16 MiB", window: 500, use: system.Single, make: newAsync},
		{name: "single-one", settings: "PublishAsync, window 500 messages or 16 MiB", window: 500, use: system.Single, oneStream: true, make: newAsync},
		// One stream for all partitions reads at half the rate or less, so readers have one for each.
		{name: "read-pull", settings: "ordered consumers, pulled", read: pullOrdered, window: 500, use: system.Read, make: newFast},
		{name: "read-noack", settings: "consumers in memory without acknowledgement, pulled", read: pullNoAck, window: 500, use: system.Read, make: newFast},
		{name: "read-push", settings: "ordered consumers, pushed", read: pushOrdered, window: 500, use: system.Read, make: newFast},
	}
}

func options() []system.Option {
	var out []system.Option
	for _, o := range all() {
		streams := "a stream for each partition"
		if o.oneStream {
			streams = "one stream, a subject for each partition"
		}
		out = append(out, system.Option{Name: o.name, Use: o.use, Settings: o.settings + "; " + streams})
	}
	return out
}

func find(name string) (option, error) {
	for _, o := range all() {
		if o.name == name {
			return o, nil
		}
	}
	return option{}, fmt.Errorf("no client option %q of NATS", name)
}
