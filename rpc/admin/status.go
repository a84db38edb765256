package admin

import (
	"context"
	"encoding/json"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// MethodPartitionStatus is the name under which brokers call ServePartitionStatus on each other.
const MethodPartitionStatus = "partition.status"

// statusFormat is the version of the two messages below. A broker that is asked in another one refuses.
const statusFormat = 1

// maxAsked bounds the partitions of one question.
const maxAsked = 100_000

type statusQuestion struct {
	Format int                `json:"format"`
	Topics map[string][]int32 `json:"topics"`
}

type statusAnswer struct {
	Format     int             `json:"format"`
	Partitions []partitionInfo `json:"partitions"`
}

// partitionInfo is what a broker tells of a partition that it leads; of others it tells nothing.
type partitionInfo struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Term      uint64   `json:"term"`
	LogStart  int64    `json:"log_start"`
	HW        int64    `json:"hw"`
	InSync    []uint64 `json:"in_sync"` // replica ids
}

type partitionKey struct {
	topic string
	n     int32
}

// ServePartitionStatus answers "partition.status" of another broker: of the partitions asked for, those that this
// broker leads. Errors are *runnelv1.Error.
func (s *Server) ServePartitionStatus(_ context.Context, body []byte) ([]byte, error) {
	var q statusQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "the question is not readable: %v", err)
	}
	if q.Format != statusFormat {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"the question has format %d and this broker knows format %d: run one version", q.Format, statusFormat)
	}
	asked := 0
	for _, ns := range q.Topics {
		asked += len(ns)
	}
	if asked > maxAsked {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "asked for %d partitions: at most %d", asked, maxAsked)
	}
	a := statusAnswer{Format: statusFormat, Partitions: s.answerLocally(q)}
	out, err := json.Marshal(a)
	if err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "encode partition status: %v", err)
	}
	return out, nil
}

func (s *Server) answerLocally(q statusQuestion) []partitionInfo {
	var out []partitionInfo
	for topic, ns := range q.Topics {
		for _, n := range ns {
			st, e := s.local.status(topic, n)
			if e != nil || !st.Leader {
				continue
			}
			out = append(out, partitionInfo{
				Topic: topic, Partition: n, Term: st.Term, LogStart: st.LogStart, HW: st.HW, InSync: st.InSync,
			})
		}
	}
	return out
}

// view is one partition as this broker sees it, with its leader's own words if it gave them.
type view struct {
	topic  string
	number int32
	place  *placement.Partition
	leader int32
	term   uint64
	led    bool
	status *partition.Status // nil: the leader told nothing
	// silence is why the leader told nothing.
	silence string
}

// view looks at all partitions of topics, and asks the leaders, each broker once.
func (s *Server) view(ctx context.Context, topics []*placement.Topic) []*view {
	var views []*view
	questions := map[int32]map[string][]int32{}
	for _, t := range topics {
		for n := range t.Partitions {
			v := &view{topic: t.Name, number: int32(n), place: &t.Partitions[n]} //nolint:gosec // the controller bounds partitions
			v.leader, v.term, v.led = s.cluster.Leader(v.place.Group)
			if v.led {
				if questions[v.leader] == nil {
					questions[v.leader] = map[string][]int32{}
				}
				questions[v.leader][t.Name] = append(questions[v.leader][t.Name], v.number)
			}
			views = append(views, v)
		}
	}
	infos, silent := s.ask(ctx, questions)
	for _, v := range views {
		if info, ok := infos[partitionKey{v.topic, v.number}]; ok {
			v.term = max(v.term, info.Term)
			v.status = &partition.Status{Leader: true, Term: info.Term, HW: info.HW, LogStart: info.LogStart, InSync: info.InSync}
		} else {
			v.silence = silent[v.leader]
		}
	}
	return views
}

// ask asks the brokers side by side and gives what they told, and why those are silent who told nothing.
func (s *Server) ask(ctx context.Context, questions map[int32]map[string][]int32) (map[partitionKey]partitionInfo, map[int32]string) {
	ctx, cancel := s.within(ctx, askWait)
	defer cancel()
	var mu sync.Mutex
	infos, silent := map[partitionKey]partitionInfo{}, map[int32]string{}
	take := func(ps []partitionInfo) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range ps {
			infos[partitionKey{p.Topic, p.Partition}] = p
		}
	}
	var g errgroup.Group
	for broker, topics := range questions {
		q := statusQuestion{Format: statusFormat, Topics: topics}
		if broker == s.id {
			take(s.answerLocally(q))
			continue
		}
		g.Go(func() error {
			a, err := s.askBroker(ctx, broker, q)
			if err != nil {
				s.metrics.unasked.Inc()
				mu.Lock()
				silent[broker] = err.Error()
				mu.Unlock()
				return nil // the others' answers still count
			}
			take(a.Partitions)
			return nil
		})
	}
	_ = g.Wait() // each failure is in silent
	return infos, silent
}

func (s *Server) askBroker(ctx context.Context, broker int32, q statusQuestion) (statusAnswer, error) {
	var a statusAnswer
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	out, err := s.caller.Call(ctx, broker, MethodPartitionStatus, body)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(out, &a); err != nil {
		return a, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "its answer is not readable: %v", err)
	}
	if a.Format != statusFormat {
		return a, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "its answer has format %d, not %d: run one version", a.Format, statusFormat)
	}
	return a, nil
}
