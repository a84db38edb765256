package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/workload"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	leadersEvery   = 500 * time.Millisecond
	processesEvery = 100 * time.Millisecond
	askPatience    = 400 * time.Millisecond

	quarantinesEvery = 2 * time.Second
)

// watchLeaders asks every broker, past the proxy, who leads what, until ctx ends.
func (r *run) watchLeaders(ctx context.Context) {
	number := map[workload.Slot]int32{}
	for i, s := range r.slots {
		number[s] = int32(i)
	}
	var names []string
	for _, t := range r.topics {
		names = append(names, t.Name)
	}
	var wg sync.WaitGroup
	for _, m := range r.machines {
		wg.Go(func() {
			conn, err := grpc.NewClient(m.Client, grpc.WithTransportCredentials(workload.Credentials(r.target().TLS)))
			if err != nil {
				r.violate("run", "no client for broker %d: %v", m.Number, err)
				return
			}
			defer conn.Close()
			b := runnelv1.NewBrokerClient(conn)
			for ctx.Err() == nil {
				nap(ctx, leadersEvery)
				if !m.member.Load() || !m.Running() {
					continue
				}
				call, cancel := context.WithTimeout(ctx, askPatience)
				resp, err := b.Metadata(call, &runnelv1.MetadataRequest{Topics: names})
				cancel()
				if err != nil {
					continue // it is down, stopped or busy
				}
				for _, t := range resp.GetTopics() {
					for _, p := range t.GetPartitions() {
						if slot, ok := number[workload.Slot{Topic: t.GetName(), Partition: p.GetPartition()}]; ok && p.GetLeaderId() > 0 && p.GetTerm() > 0 {
							r.rec.Leader(check.Leader{Partition: slot, Term: p.GetTerm(), Broker: p.GetLeaderId()})
						}
					}
				}
			}
		})
	}
	wg.Wait()
}

// watchProcesses starts a broker again that ended by itself, as a service manager does. A broker may end itself when its disk fails, or when it
// was removed.
func (r *run) watchProcesses(ctx context.Context) {
	for ctx.Err() == nil {
		nap(ctx, processesEvery)
		for _, m := range r.machines {
			if !m.member.Load() || m.Running() || !m.tryTake() {
				continue
			}
			if m.member.Load() && !m.Running() && ctx.Err() == nil {
				fmt.Printf("%7.1f s  broker %d has ended by itself and is started again\n", r.now().Seconds(), m.Number)
				r.endedItself(m)
				if err := m.boot(); err != nil {
					r.violate("run", "broker %d ended by itself and cannot be started: %v", m.Number, err)
				}
			}
			m.give()
		}
	}
}

// watchQuarantines looks for replicas that were given up on machines whose disks are sound.
func (r *run) watchQuarantines(ctx context.Context) {
	told := map[uint64]bool{}
	for ctx.Err() == nil {
		nap(ctx, quarantinesEvery)
		call, cancel := context.WithTimeout(ctx, quarantinesEvery)
		ids, err := r.ids(call)
		var p *runnelv1.PlanResponse
		if err == nil {
			p, err = r.cl.Admin().Plan(call, &runnelv1.PlanRequest{})
		}
		cancel()
		if err != nil {
			continue // nobody leads the controller group for the moment
		}
		for _, q := range p.GetQuarantined() {
			m := ids[q.GetBroker()]
			if m == nil || told[q.GetReplica()] {
				continue
			}
			told[q.GetReplica()] = true
			if !m.damaged() {
				r.violate("run", "broker %d gave up its replica of %s/%d, and nothing damaged its disk: %s", m.Number, q.GetTopic(), q.GetPartition(), q.GetReason())
			}
		}
	}
}

// defects are what a broker's log must never say. A replica that panics because of a damaged disk is quarantined like any other.
var defects = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE|unexpected fault address)`)

// readLogs looks for defects in the brokers' logs.
func (r *run) readLogs() error {
	for _, path := range r.logs() {
		lines, err := matching(path, defects)
		if err != nil {
			return err
		}
		for _, l := range lines {
			r.violate("run", "%s: %s", path, l)
		}
	}
	return nil
}

// matching are the first lines of a file that match.
func matching(path string, re *regexp.Regexp) (out []string, err error) {
	const most = 5
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(out) < most {
		if re.MatchString(lines.Text()) {
			out = append(out, lines.Text())
		}
	}
	return out, lines.Err()
}
