package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Admin is what is asked of the cluster.
type Admin interface {
	ClusterStatus(context.Context, *runnelv1.ClusterStatusRequest) (*runnelv1.ClusterStatusResponse, error)
	ListTopics(context.Context, *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error)
	DescribeTopic(context.Context, *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error)
	ListSettings(context.Context, *runnelv1.ListSettingsRequest) (*runnelv1.ListSettingsResponse, error)
	ListMoves(context.Context, *runnelv1.ListMovesRequest) (*runnelv1.ListMovesResponse, error)
	Plan(context.Context, *runnelv1.PlanRequest) (*runnelv1.PlanResponse, error)
}

// Options of a run. All bounds must be set.
type Options struct {
	Admin Admin
	// Seeds are the brokers' addresses that Admin asks, for the manifest.
	Seeds []string
	// HTTP are more addresses host:port of metrics and health: of brokers that the cluster does not tell of.
	HTTP []string
	// Logs are files whose end goes into the bundle; Unit is the journal's unit that is asked if there are none.
	Logs []string
	Unit string
	// Patience bounds each question.
	Patience time.Duration
	// Profile is how long the brokers' processors are watched; moves that stand still so long are told. 0: neither.
	Profile time.Duration
	// MaxBytes bounds the bundle before compression.
	MaxBytes int
	// Environ as of os.Environ: the values of its secret variables are cut out.
	Environ []string
	// By is the version of the program, for the manifest.
	By string
	// Now is the clock; Progress is told what is going on, one line each.
	Now      func() time.Time
	Progress func(string)
}

// Bounds of what is kept of one answer.
const (
	maxView    = 16 << 20 // the cluster's view of itself
	maxMetrics = 16 << 20
	maxSmall   = 256 << 10 // health
	maxProfile = 16 << 20
	maxLog     = 16 << 20
	maxTopics  = 1000 // that are described
	maxBrokers = 256  // that are asked
)

// Result is what a run found.
type Result struct {
	Manifest Manifest
	Findings []Finding
	// Notes are no trouble, but whoever reads the bundle should know them.
	Notes []string
	// Cluster, and how many of its brokers told their metrics.
	Cluster          string
	Brokers, Telling int
}

// Run asks everything and writes the bundle. A broker, or a whole cluster, that does not answer is a finding and no error; an error is
// that the bundle could not be written, or that ctx ended.
func Run(ctx context.Context, w io.Writer, o Options) (Result, error) {
	b := &bundle{scrub: newScrubber(o.Environ), left: o.MaxBytes}
	g := &gatherer{o: o, b: b, http: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a broker sends nobody elsewhere
	}}
	made := o.Now()
	o.Progress("asking the cluster by " + strings.Join(o.Seeds, ", "))
	f := g.cluster(ctx)
	g.addresses(f)
	var all errgroup.Group
	for _, br := range f.brokers {
		all.Go(func() error {
			g.settings(ctx, br)
			g.broker(ctx, br)
			return nil // what did not answer is in the manifest
		})
	}
	all.Go(func() error {
		g.logs(ctx)
		return nil
	})
	if o.Profile > 0 {
		o.Progress(fmt.Sprintf("asking %d brokers for metrics, and for what they do in %s", len(f.brokers), o.Profile))
	}
	if len(f.before) > 0 && o.Profile > 0 { // else they have had no time to get on
		all.Go(func() error {
			t := time.NewTimer(o.Profile)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
			}
			return nil
		})
	}
	_ = all.Wait()
	g.movesAgain(ctx, f, o.Now().Sub(made))
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	r := Result{Cluster: f.status.GetClusterId(), Brokers: len(f.brokers), Findings: judge(f), Notes: notes(f, b)}
	for _, br := range f.brokers {
		if br.metrics != nil {
			r.Telling++
		}
	}
	m := Manifest{Made: made.UTC(), By: o.By, Asked: o.Seeds}
	text, _ := b.scrub.clean([]byte(r.Text()))
	var err error
	r.Manifest, err = b.write(w, m, string(text))
	return r, err
}
