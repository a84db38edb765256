package admin

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
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
	// All asks for statusAnswer.Replicas. A broker that does not know it leaves them out.
	All bool `json:"all,omitempty"`
	// Unled are those of Topics whose leader whoever asks does not know, for statusAnswer.Leaders. A broker that does not know it leaves them out.
	Unled map[string][]int32 `json:"unled,omitempty"`
}

type statusAnswer struct {
	Format     int             `json:"format"`
	Partitions []partitionInfo `json:"partitions"`
	Troubles   []trouble       `json:"troubles,omitempty"`
	// Replicas holds, if asked for, those that run here and are in no trouble.
	Replicas []replicaInfo `json:"replicas,omitempty"`
	// Leaders holds, of the partitions in statusQuestion.Unled, those that another broker leads, as this one knows and hears.
	Leaders []leaderInfo `json:"leaders,omitempty"`
}

// leaderInfo is what a broker tells of a partition that another one leads.
type leaderInfo struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Broker    int32  `json:"broker"`
	Term      uint64 `json:"term"`
}

// replicaInfo is what a broker tells of a replica of its own, leader or not.
type replicaInfo struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Replica   uint64 `json:"replica"`
	LogStart  int64  `json:"log_start"`
	HW        int64  `json:"hw"`
	Bytes     int64  `json:"bytes"`
}

// trouble is what a broker tells of a replica of its own that cannot do its part.
type trouble struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// What goes on after "its replica on broker 1 ".
	What string `json:"what"`
}

// partitionInfo is what a broker tells of a partition that it leads.
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
// broker leads, and those whose replica here is in trouble. Errors are *runnelv1.Error.
func (s *Server) ServePartitionStatus(_ context.Context, body []byte) ([]byte, error) {
	var q statusQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "the question is not readable: %v", err)
	}
	if q.Format != statusFormat {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"the question has format %d and this broker knows format %d: run one version", q.Format, statusFormat)
	}
	if asked := max(count(q.Topics), count(q.Unled)); asked > maxAsked {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "asked for %d partitions: at most %d", asked, maxAsked)
	}
	out, err := json.Marshal(s.answerLocally(q))
	if err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "encode partition status: %v", err)
	}
	return out, nil
}

func count(topics map[string][]int32) (n int) {
	for _, ns := range topics {
		n += len(ns)
	}
	return n
}

func (s *Server) answerLocally(q statusQuestion) statusAnswer {
	a := statusAnswer{Format: statusFormat}
	placed := s.cluster.State().Topics
	for topic, ns := range q.Topics {
		for _, n := range ns {
			st, e := s.local.status(topic, n)
			if q.All && e == nil && st.Quarantine == "" {
				a.Replicas = append(a.Replicas, s.replicaInfo(placed[topic], topic, n, st))
			}
			switch {
			case e != nil:
				// Not to have a replica is trouble only where there should be one.
				if votesOn(partitionAt(placed[topic], n), s.id) {
					a.Troubles = append(a.Troubles, trouble{topic, n, troubleOf(e, topic, n, s.id)})
				}
			case st.Quarantine != "":
				a.Troubles = append(a.Troubles, trouble{topic, n, quarantined + cut(st.Quarantine)})
			case st.Leader:
				a.Partitions = append(a.Partitions, partitionInfo{
					Topic: topic, Partition: n, Term: st.Term, LogStart: st.LogStart, HW: st.HW, InSync: st.InSync,
				})
			}
		}
	}
	for topic, ns := range q.Unled {
		for _, n := range ns {
			p := partitionAt(placed[topic], n)
			if p == nil {
				continue
			}
			if lead, term, ok := s.cluster.Leader(p.Group); ok && lead != s.id {
				a.Leaders = append(a.Leaders, leaderInfo{topic, n, lead, term})
			}
		}
	}
	return a
}

// votesOn tells whether a partition, which may be nil, has a voting replica on a broker. One that a move adds is no trouble while
// it is installed.
func votesOn(p *placement.Partition, broker int32) bool {
	return p != nil && slices.ContainsFunc(p.Replicas, func(r placement.Replica) bool { return r.Broker == broker && !r.Learner })
}

// replicaInfo tells of a replica that runs here. A broker runs one replica of a partition; which it is, the state knows.
func (s *Server) replicaInfo(t *placement.Topic, topic string, n int32, st partition.Status) replicaInfo {
	info := replicaInfo{Topic: topic, Partition: n, LogStart: st.LogStart, HW: st.HW, Bytes: st.Bytes}
	if p := partitionAt(t, n); p != nil {
		if r, ok := p.On(s.id); ok {
			info.Replica = r.ID
		} else if r, ok := p.Joining(s.id); ok {
			info.Replica = r.ID
		}
	}
	return info
}

// view is one partition as this broker sees it, with its leader's own words if it gave them.
type view struct {
	topic  string
	number int32
	place  *placement.Partition
	leader int32
	term   uint64
	led    bool
	// by is the broker that tells of the leader, which is not heard here; 0: it is.
	by     int32
	status *partition.Status // nil: the leader told nothing
	// troubles says of brokers what is wrong with their replica, unanswered of live ones why they did not tell; shared
	// by all views, unanswered is.
	troubles   map[int32]string
	unanswered map[int32]string
	// replicas is what each broker has, if that was asked for.
	replicas map[int32]replicaInfo
}

// view looks at all partitions of topics, and asks the brokers that have replicas of them, each once.
func (s *Server) view(ctx context.Context, topics []*placement.Topic) []*view {
	var views []*view
	for _, t := range topics {
		for n := range t.Partitions {
			views = append(views, s.glance(t, n))
		}
	}
	s.ask(ctx, views, false)
	return views
}

// glance is a view of one partition before anybody was asked.
func (s *Server) glance(t *placement.Topic, n int) *view {
	v := &view{topic: t.Name, number: int32(n), place: &t.Partitions[n]} //nolint:gosec // the controller bounds partitions
	v.leader, v.term, v.led = s.cluster.Leader(v.place.Group)
	return v
}

// ask completes views with what the brokers tell; all: with what each has, those that a move adds included.
func (s *Server) ask(ctx context.Context, views []*view, all bool) {
	questions := map[int32]*statusQuestion{}
	for _, v := range views {
		rs := v.place.Replicas
		if all {
			rs = v.place.All()
		}
		for _, r := range rs {
			if r.Broker != s.id && !s.cluster.Alive(r.Broker) {
				continue
			}
			q := questions[r.Broker]
			if q == nil {
				q = &statusQuestion{Format: statusFormat, Topics: map[string][]int32{}, All: all, Unled: map[string][]int32{}}
				questions[r.Broker] = q
			}
			q.Topics[v.topic] = append(q.Topics[v.topic], v.number)
			if !v.led {
				q.Unled[v.topic] = append(q.Unled[v.topic], v.number)
			}
		}
	}
	a := s.askAll(ctx, questions)
	for _, v := range views {
		k := partitionKey{v.topic, v.number}
		v.by = 0
		if !v.led {
			s.believe(v, a.leaders[k])
		}
		v.troubles, v.unanswered, v.replicas = a.troubles[k], a.unanswered, a.replicas[k]
		if info, ok := a.infos[k][v.leader]; ok && v.led {
			v.term = max(v.term, info.Term)
			v.status = &partition.Status{Leader: true, Term: info.Term, HW: info.HW, LogStart: info.LogStart, InSync: info.InSync}
		}
	}
}

// believe takes the leader of a view from others that hear it, which this broker does not. One that is heard here would have told: those who name
// it may be late.
func (s *Server) believe(v *view, told map[int32]leaderInfo) {
	for _, by := range slices.Sorted(maps.Keys(told)) {
		if l := told[by]; l.Broker != s.id && !s.cluster.Alive(l.Broker) && (!v.led || l.Term > v.term) {
			v.leader, v.term, v.led, v.by = l.Broker, l.Term, true, by
		}
	}
}

// answers are those of all brokers asked.
type answers struct {
	infos      map[partitionKey]map[int32]partitionInfo // by broker: two may take themselves for the leader for a moment
	troubles   map[partitionKey]map[int32]string        // by broker
	replicas   map[partitionKey]map[int32]replicaInfo   // by broker
	leaders    map[partitionKey]map[int32]leaderInfo    // by who tells
	unanswered map[int32]string
}

// put puts a value into a map of maps.
func put[V any](m map[partitionKey]map[int32]V, k partitionKey, broker int32, v V) {
	if m[k] == nil {
		m[k] = map[int32]V{}
	}
	m[k][broker] = v
}

func (a *answers) take(broker int32, from statusAnswer) {
	for _, p := range from.Partitions {
		put(a.infos, partitionKey{p.Topic, p.Partition}, broker, p)
	}
	for _, t := range from.Troubles {
		put(a.troubles, partitionKey{t.Topic, t.Partition}, broker, t.What)
	}
	for _, r := range from.Replicas {
		put(a.replicas, partitionKey{r.Topic, r.Partition}, broker, r)
	}
	for _, l := range from.Leaders {
		put(a.leaders, partitionKey{l.Topic, l.Partition}, broker, l)
	}
}

// askAll asks the brokers side by side.
func (s *Server) askAll(ctx context.Context, questions map[int32]*statusQuestion) *answers {
	ctx, cancel := s.within(ctx, askWait)
	defer cancel()
	var mu sync.Mutex
	all := &answers{
		infos: map[partitionKey]map[int32]partitionInfo{}, troubles: map[partitionKey]map[int32]string{},
		replicas: map[partitionKey]map[int32]replicaInfo{}, leaders: map[partitionKey]map[int32]leaderInfo{}, unanswered: map[int32]string{},
	}
	var g errgroup.Group
	for broker, q := range questions {
		if broker == s.id {
			a := s.answerLocally(*q)
			mu.Lock()
			all.take(broker, a)
			mu.Unlock()
			continue
		}
		g.Go(func() error {
			a, err := s.askBroker(ctx, broker, *q)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.metrics.unasked.Inc()
				all.unanswered[broker] = err.Error()
				return nil // the others' answers still count
			}
			all.take(broker, a)
			return nil
		})
	}
	_ = g.Wait() // each failure is in unanswered
	return all
}

func (s *Server) askBroker(ctx context.Context, broker int32, q statusQuestion) (statusAnswer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return statusAnswer{}, err
	}
	out, err := s.caller.Call(ctx, broker, MethodPartitionStatus, body)
	if err != nil {
		return statusAnswer{}, err
	}
	return readStatus(out)
}

// readStatus reads the answer of another broker.
func readStatus(out []byte) (a statusAnswer, err error) {
	if err := json.Unmarshal(out, &a); err != nil {
		return a, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "its answer is not readable: %v", err)
	}
	if a.Format != statusFormat {
		return a, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "its answer has format %d, not %d: run one version", a.Format, statusFormat)
	}
	return a, nil
}
