package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// facts is what the findings are drawn from. A nil message was not answered.
type facts struct {
	status    *runnelv1.ClusterStatusResponse
	statusErr error
	plan      *runnelv1.PlanResponse
	topics    []*runnelv1.TopicSummary
	described []*runnelv1.DescribeTopicResponse
	// moves at the beginning and at the end of the run, so long apart; nil if either was not answered.
	before, after []*runnelv1.MoveDescription
	apart         time.Duration
	brokers       []*brokerFacts
}

// brokerFacts is what is known of one broker.
type brokerFacts struct {
	id      int32  // 0: the cluster did not tell of it
	name    string // "broker 3", or the address of one that the cluster did not tell of
	folder  string // in the bundle
	address string // of HTTP; empty if nobody told it
	alive   bool   // as the cluster has it
	version string

	httpErr        error // nothing answered at the address
	metrics        *metrics
	healthy, ready string    // "" if the answer was 200, else its text
	asked          time.Time // by this machine's clock
	clock          *offset
	pprofOff       bool
}

// offset is how far a broker's clock is ahead of this machine's, and how far that can be wrong.
type offset struct{ ahead, wrong time.Duration }

type gatherer struct {
	o    Options
	b    *bundle
	http *http.Client
}

// cluster asks for the cluster's view of itself.
func (g *gatherer) cluster(ctx context.Context) *facts {
	f := &facts{}
	f.status, f.statusErr = call(ctx, g, "cluster/status.json", "ClusterStatus", g.o.Admin.ClusterStatus, &runnelv1.ClusterStatusRequest{})
	if f.statusErr != nil { // nobody answers, and would not answer the rest
		return f
	}
	f.plan, _ = call(ctx, g, "cluster/plan.json", "Plan", g.o.Admin.Plan, &runnelv1.PlanRequest{})
	_, _ = call(ctx, g, "cluster/settings.json", "ListSettings", g.o.Admin.ListSettings, &runnelv1.ListSettingsRequest{})
	if m, err := call(ctx, g, "cluster/moves.json", "ListMoves", g.o.Admin.ListMoves, &runnelv1.ListMovesRequest{}); err == nil {
		f.before = m.GetMoves()
	}
	list, err := call(ctx, g, "cluster/topics.json", "ListTopics", g.o.Admin.ListTopics, &runnelv1.ListTopicsRequest{})
	if err != nil {
		return f
	}
	f.topics = list.GetTopics()
	for i, t := range f.topics {
		if i == maxTopics {
			g.b.lack("cluster/topics/...", "DescribeTopic", fmt.Errorf("%d more topics are not described", len(f.topics)-maxTopics))
			break
		}
		// Numbered, since a topic may be called as no file can be on every system; the file has the name.
		name := fmt.Sprintf("cluster/topics/%04d.json", i)
		d, err := call(ctx, g, name, "DescribeTopic "+t.GetName(), g.o.Admin.DescribeTopic, &runnelv1.DescribeTopicRequest{Name: t.GetName()})
		if err == nil {
			f.described = append(f.described, d)
		} else if ctx.Err() != nil {
			break
		}
	}
	return f
}

// settings asks for a broker's settings, which any broker passes on to it.
func (g *gatherer) settings(ctx context.Context, f *brokerFacts) {
	if f.id == 0 || !f.alive {
		return
	}
	_, _ = call(ctx, g, f.folder+"/settings.json", fmt.Sprintf("ListSettings %d", f.id), g.o.Admin.ListSettings, &runnelv1.ListSettingsRequest{Broker: f.id})
}

// call asks one question within the patience and keeps the answer.
func call[Q any, A proto.Message](ctx context.Context, g *gatherer, file, from string, ask func(context.Context, Q) (A, error), q Q) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, g.o.Patience)
	defer cancel()
	a, err := ask(ctx, q)
	if err != nil {
		g.b.lack(file, from, err)
		return a, err
	}
	text, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true, EmitUnpopulated: true}.Marshal(a)
	if err != nil {
		g.b.lack(file, from, err)
		return a, err
	}
	g.b.add(file, from, append(text, '\n'), asText, maxView, false)
	return a, nil
}

// addresses lists the brokers to ask: those that the cluster tells of, and those that were named.
func (g *gatherer) addresses(f *facts) {
	known := map[string]bool{}
	for _, b := range f.status.GetBrokers() {
		known[b.GetHttpAddress()] = true
		f.brokers = append(f.brokers, &brokerFacts{
			id: b.GetId(), name: fmt.Sprintf("broker %d", b.GetId()), folder: "brokers/" + strconv.Itoa(int(b.GetId())), address: b.GetHttpAddress(),
			alive: b.GetAlive(), version: b.GetVersion(),
		})
	}
	for i, a := range g.o.HTTP {
		if known[a] || slices.Contains(g.o.HTTP[:i], a) {
			continue
		}
		f.brokers = append(f.brokers, &brokerFacts{name: "the broker at " + a, folder: "brokers/at-" + fileName(a), address: a, alive: true})
	}
	if n := len(f.brokers) - maxBrokers; n > 0 {
		g.b.lack("brokers/...", "HTTP", fmt.Errorf("%d more brokers are not asked", n))
		f.brokers = f.brokers[:maxBrokers]
	}
}

// fileName makes a file's name of an address, whatever is in it.
func fileName(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, ""
	}
	safe := []byte(host + "-" + port)
	for i, c := range safe {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' && i > 0 || c == '-') {
			safe[i] = '_'
		}
	}
	return string(safe)
}

// movesAgain asks for the moves once more, after so long.
func (g *gatherer) movesAgain(ctx context.Context, f *facts, apart time.Duration) {
	if f.statusErr != nil || len(f.before) == 0 {
		return
	}
	if m, err := call(ctx, g, "cluster/moves-later.json", "ListMoves", g.o.Admin.ListMoves, &runnelv1.ListMovesRequest{}); err == nil {
		f.after, f.apart = m.GetMoves(), apart
	}
}

var errNoAddress = errors.New("nobody tells its HTTP address: gossip does not see it; name it by --http if you know it")
