package client

import (
	"slices"
	"strconv"
	"sync"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// noLeader is the leader of a partition that has none, as in the protocol.
const noLeader int32 = -1

// unknownAnswers is how many answers in a row have to say that a topic does not exist. One is not enough: a broker that
// has just started may not know the topics yet.
const unknownAnswers = 3

// leader is who leads a partition in a term. A higher term wins, whoever says so.
type leader struct {
	id   int32
	term int64
}

// topicView is what is known of a topic. It is immutable: changes make a new one.
type topicView struct {
	id       uint64
	revision uint64
	leaders  []leader // by partition; empty: not known yet
	maxBatch int      // the topic's max.message.bytes; 0: not known
	// err is set when the topic surely does not exist.
	err *Error
}

// tracked is a topic that someone uses.
type tracked struct {
	view *topicView
	// unknown counts answers in a row that deny the topic, deniedBy tells whose.
	unknown  int
	deniedBy map[string]bool
}

type leaderChange struct {
	topic     string
	partition int32
	from, to  int32
}

// metadata is the cache of who leads what. It only learns: an older answer never overwrites a newer one (revision for
// which topics and partitions there are, term for leaders).
type metadata struct {
	seeds []string

	mu        sync.Mutex
	clusterID string
	revision  uint64
	brokers   map[int32]string
	topics    map[string]*tracked
	changes   []leaderChange // for the hook
	updated   chan struct{}  // closed and replaced after each refresh, even a failed one, or hint
}

func newMetadata(seeds []string) *metadata {
	return &metadata{
		seeds:   slices.Clone(seeds),
		brokers: make(map[int32]string),
		topics:  make(map[string]*tracked),
		updated: make(chan struct{}),
	}
}

// track makes name a topic to ask for, and forgets that it was found not to exist: it may have been made since. It
// answers what is known, and false if that is nothing yet.
func (m *metadata) track(name string) (*topicView, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[name]
	if t == nil || t.view.err != nil {
		t = &tracked{view: &topicView{}}
		m.topics[name] = t
	}
	return t.view, len(t.view.leaders) > 0
}

// topic answers what is known of a tracked topic; the view's leaders are empty if that is nothing.
func (m *metadata) topic(name string) *topicView {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.topics[name]; t != nil {
		return t.view
	}
	return &topicView{}
}

func (m *metadata) address(broker int32) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.brokers[broker]
}

// changed is closed when the cache has changed, has been confirmed, or could not be, after this call.
func (m *metadata) cluster() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clusterID
}

func (m *metadata) changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.updated
}

func (m *metadata) announce() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.announceLocked()
}

func (m *metadata) announceLocked() {
	close(m.updated)
	m.updated = make(chan struct{})
}

// names lists the tracked topics that may exist.
func (m *metadata) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]string, 0, len(m.topics))
	for name, t := range m.topics {
		if t.view.err == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// endpoints lists every address that may answer: brokers first, then seeds.
func (m *metadata) endpoints() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]int32, 0, len(m.brokers))
	for id := range m.brokers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := make([]string, 0, len(ids)+len(m.seeds))
	for _, id := range ids {
		if a := m.brokers[id]; a != "" && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	for _, a := range m.seeds {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// hint takes in what the broker from said about a partition's leader when it was not it, and answers whether that was
// news. Without a usable hint the partition has no known leader until the next refresh.
func (m *metadata) hint(topic string, partition, from int32, e *Error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[topic]
	if t == nil || int(partition) >= len(t.view.leaders) {
		return false
	}
	old := t.view.leaders[partition]
	now := leader{id: e.GetLeaderId(), term: e.GetLeaderTerm()}
	named := now.id > 0 && now.id != from && e.GetLeaderAddress() != ""
	if now.term == 0 {
		now.term = old.term // not told
	}
	switch {
	case named && (now.term > old.term || old.id == noLeader || (old.id == from && now.term == old.term)):
		m.brokers[now.id] = e.GetLeaderAddress()
	case old.id == from && e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER:
		// The term stays: it is only replaced by what a refresh says, whichever term that has.
		now = leader{id: noLeader, term: old.term}
	default:
		return false
	}
	v := *t.view
	v.leaders = slices.Clone(v.leaders)
	v.leaders[partition] = now
	t.view = &v
	if now.id != old.id {
		m.changes = append(m.changes, leaderChange{topic, partition, old.id, now.id})
	}
	m.announceLocked()
	return now.id != noLeader
}

// merge takes in the answer of the broker at addr. It fails if that broker is of another cluster.
func (m *metadata) merge(addr string, asked []string, resp *runnelv1.MetadataResponse) *Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id := resp.GetClusterId(); id != "" {
		if m.clusterID != "" && m.clusterID != id {
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
				"%s belongs to cluster %s, this client to %s: give seeds of one cluster, and make a new client after a cluster was made anew",
				addr, id, m.clusterID)
		}
		m.clusterID = id
	}
	newest := resp.GetRevision() >= m.revision
	if newest && len(resp.GetBrokers()) > 0 {
		m.revision = resp.GetRevision()
		clear(m.brokers)
	}
	for _, b := range resp.GetBrokers() {
		if newest || m.brokers[b.GetId()] == "" {
			m.brokers[b.GetId()] = b.GetAddress()
		}
	}
	answered := make(map[string]*runnelv1.TopicMetadata, len(resp.GetTopics()))
	for _, t := range resp.GetTopics() {
		answered[t.GetName()] = t
	}
	for _, name := range asked {
		t := m.topics[name]
		if t == nil || t.view.err != nil {
			continue
		}
		a := answered[name]
		switch {
		case a != nil && a.GetError() == nil && len(a.GetPartitions()) > 0:
			t.unknown, t.deniedBy = 0, nil
			m.mergeTopicLocked(name, t, a, resp.GetRevision())
		case a == nil || a.GetError().GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC:
			if newest {
				m.denyLocked(name, t, addr)
			}
		}
	}
	m.announceLocked()
	return nil
}

func (m *metadata) mergeTopicLocked(name string, t *tracked, a *runnelv1.TopicMetadata, revision uint64) {
	old := t.view
	if revision < old.revision && a.GetId() != old.id {
		return // the topic as it was before it was deleted and made again
	}
	v := &topicView{id: a.GetId(), revision: max(revision, old.revision), leaders: old.leaders, maxBatch: maxBatch(a)}
	if a.GetId() != old.id {
		v.leaders = nil
	}
	count := len(v.leaders)
	if revision >= old.revision {
		count = len(a.GetPartitions())
	}
	leaders := make([]leader, count)
	for i := range leaders {
		leaders[i] = leader{id: noLeader}
	}
	copy(leaders, v.leaders)
	for _, p := range a.GetPartitions() {
		n := p.GetPartition()
		if n < 0 || int(n) >= len(leaders) || p.GetLeaderId() <= 0 {
			continue
		}
		was, now := leaders[n], leader{id: p.GetLeaderId(), term: p.GetTerm()}
		if now.term > was.term || was.id == noLeader {
			leaders[n] = now
			if now.id != was.id && len(old.leaders) > 0 {
				m.changes = append(m.changes, leaderChange{name, n, was.id, now.id})
			}
		}
	}
	v.leaders = leaders
	t.view = v
}

// denyLocked counts an answer that says the topic does not exist, and believes it after unknownAnswers in a row, from
// two brokers if there are two.
func (m *metadata) denyLocked(name string, t *tracked, addr string) {
	t.unknown++
	if t.deniedBy == nil {
		t.deniedBy = make(map[string]bool)
	}
	t.deniedBy[addr] = true
	// One broker alone decides too, after more answers: the others may be down. So does one that knows of no revision,
	// which is one that may not have caught up.
	weak := m.revision == 0 || (len(t.deniedBy) < 2 && len(m.brokers) > 1)
	if t.unknown < unknownAnswers || (weak && t.unknown < 3*unknownAnswers) {
		return
	}
	t.view = &topicView{err: unknownTopic(name)}
}

// defaultMaxBatch is what a topic takes without a max.message.bytes of its own; Kafka's default.
const defaultMaxBatch = 1<<20 + 12

// maxBatch is the largest batch in bytes that the topic takes.
func maxBatch(a *runnelv1.TopicMetadata) int {
	if n, err := strconv.Atoi(a.GetConfig()["max.message.bytes"]); err == nil && n > 0 {
		return n
	}
	return defaultMaxBatch
}

// unknownTopic is the same words whichever call finds out.
func unknownTopic(name string) *Error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q does not exist: create it first", name)
}

// takeChanges gives the leader changes since the last call.
func (m *metadata) takeChanges() []leaderChange {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.changes
	m.changes = nil
	return out
}

// wanting tells whether a tracked topic is neither known nor denied.
func (m *metadata) wanting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.topics {
		if t.view.err == nil && (len(t.view.leaders) == 0 || t.unknown > 0) {
			return true
		}
	}
	return false
}
