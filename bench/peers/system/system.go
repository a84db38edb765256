package system

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
)

// Kind is a system in one configuration: a column of the table.
type Kind interface {
	// Name is the column's, for instance "nats-always".
	Name() string
	// Fetch makes the servers' programs present below cache and answers their version. An error means that the system is
	// skipped.
	Fetch(ctx context.Context, cache string) (version string, err error)
	// Strict tells that the servers sync before they acknowledge.
	Strict() bool
	// Settings of the servers, for the report.
	Settings() map[string]string
	// Options are the ways of a client; there is at least one for each use, and the first serves where there is no choice.
	Options() []Option
	// Start runs three servers with data below dir and returns when they serve.
	Start(ctx context.Context, dir string) (Servers, error)
}

// Option is a way of a client to produce or to read.
type Option struct {
	Name string
	// Settings for the report.
	Settings string
	Use      Use
}

// Use is what an option is tried for.
type Use string

// The uses.
const (
	Many   Use = "many"   // produce as many records as go through
	Single Use = "single" // records one at a time, or few a second
	Read   Use = "read"   // consume; what is read is produced somehow
)

// Servers are three running processes.
type Servers interface {
	// Addresses for clients.
	Addresses() []string
	// Kill sends SIGKILL to the server of this address and waits for its end.
	Kill(address string) error
	// Stop ends what still runs.
	Stop() error
}

// Counting are Servers that tell how many durable transactions they have made since they started.
type Counting interface {
	// Commits of all servers, and the records acknowledged in them; each record is in as many commits as it has replicas.
	Commits(ctx context.Context) (commits, records float64, err error)
}

// Settling are Servers that go on deleting a topic after its client was answered, and tell when they are done.
type Settling interface {
	// Topics are those that there are.
	Topics(ctx context.Context) (int, error)
	// Settled waits until there are so many topics and nothing is being deleted. An error says what still is.
	Settled(ctx context.Context, topics int) error
}

// Client is how a measurement talks to a system.
type Client interface {
	load.Cluster
	// Leaders tells for each partition of a topic the address of its leader, one of Servers.Addresses.
	Leaders(ctx context.Context, topic string) ([]string, error)
	// One produces a record to a partition and returns when it is acknowledged; it tries again as this system's client does
	// at its quickest, for the failover row.
	One(ctx context.Context, topic string, partition int32, value []byte) error
	Close() error
}

// Host gives each server of a run a loopback address of its own. base keeps systems apart.
func Host(base, server int) string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>8&63, pid&255, base+server)
}

// Describe writes settings as one line, in order.
func Describe(settings map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		parts = append(parts, k+"="+settings[k])
	}
	return strings.Join(parts, ", ")
}

// Poll calls probe until it succeeds, stop is closed, or ctx ends; then it answers the last error.
func Poll(ctx context.Context, stop <-chan struct{}, every time.Duration, probe func() error) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-stop:
			return fmt.Errorf("the process has ended: %w", err)
		case <-ticker.C:
		}
	}
}
