package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

// Config says how to start.
type Config struct {
	Listen    string   // host:port for UDP and TCP; the host an address ("" = all), port 0 = any free one
	Advertise string   // host:port that others use, the host may be a name; "" = the listen address; port 0 or none = the bound one
	Seeds     []string // host:port each, the host may be a name
	Meta      Meta     // Nonce is required; SeedsHash and BootMS are filled in if 0
	// Keys of AES, 16, 24 or 32 bytes each: the first encrypts, all decrypt, and what none decrypts is refused. None: plain text.
	Keys [][]byte

	Log        *slog.Logger          // nil = none
	Registerer prometheus.Registerer // nil = none
	// OnChange is called after the members, a Meta of theirs or what the seeds resolve to changed, coalesced. It must
	// not block.
	OnChange func()

	Profile Profile
	// RejoinInterval is how often seeds that are not seen are resolved again and joined. 0 = 5 s, or 250 ms with ProfileLocal.
	RejoinInterval time.Duration
}

// Gossip is a running member.
type Gossip struct {
	log         *slog.Logger
	metrics     *metrics
	list        *memberlist.Memberlist
	keys        *keys // nil: plain text
	seeds       *seedTable
	rejoinEvery time.Duration
	onChange    func()

	toldMissing string // of the rejoin goroutine: the last list of missing seeds it logged

	mu      sync.Mutex
	self    Member            // Addr is set once the port is open
	encoded []byte            // self.Meta as announced, always at most MaxMeta bytes
	table   map[string]Member // by memberlist name, oneself included

	changes  chan struct{} // one slot: the members changed
	publish  chan struct{} // one slot: self changed
	tried    chan struct{} // closed when all seeds were tried once
	cancel   context.CancelFunc
	routines sync.WaitGroup
	stop     sync.Once
	stopped  chan struct{} // closed when everything has ended
	stopErr  error         // read after stopped
}

// nameOf is the memberlist name of a boot.
func nameOf(nonce uint64) string { return fmt.Sprintf("%016x", nonce) }

// Start opens the port, announces c.Meta and begins to look for the seeds. ctx bounds Start alone: how long an advertised
// name may take to resolve. Errors: a bad address, a Meta that does not fit or
// would not once it has a cluster's id, a port in use.
func Start(ctx context.Context, c Config) (*Gossip, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	log := c.Log.With("component", "gossip")
	if c.Meta.Nonce == 0 {
		return nil, errors.New("gossip: the boot nonce must not be 0")
	}
	if c.Meta.SeedsHash == 0 {
		c.Meta.SeedsHash = HashSeeds(c.Seeds)
	}
	if c.Meta.BootMS == 0 {
		c.Meta.BootMS = time.Now().UnixMilli()
	}
	if c.RejoinInterval == 0 {
		c.RejoinInterval = c.Profile.rejoinInterval()
	}
	encoded, err := c.Meta.encodeFirst()
	if err != nil {
		return nil, err
	}
	seeds, err := newSeedTable(c.Seeds)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		log:         log,
		metrics:     m,
		seeds:       seeds,
		rejoinEvery: c.RejoinInterval,
		onChange:    c.OnChange,
		self:        Member{Meta: c.Meta},
		encoded:     encoded,
		table:       map[string]Member{},
		changes:     make(chan struct{}, 1),
		publish:     make(chan struct{}, 1),
		tried:       make(chan struct{}),
		stopped:     make(chan struct{}),
	}
	if err := g.open(ctx, c); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.routines.Add(3)
	go g.runRejoin(run)
	go g.runPublish(run)
	go g.runNotify(run)
	log.Info("gossip started", "address", g.Self().Addr, "seeds", len(c.Seeds))
	return g, nil
}

// open binds the port and starts memberlist on it.
func (g *Gossip) open(ctx context.Context, c Config) error {
	host, port, err := splitHostPort(c.Listen, false)
	if err != nil {
		return err
	}
	bind := "0.0.0.0"
	if host != "" {
		ips, err := lookup(ctx, host)
		if err != nil {
			return err
		}
		bind = ips[0].String()
	}
	advIP, advPort, err := advertised(ctx, c.Advertise, g.rejoinEvery, g.log)
	if err != nil {
		return err
	}
	if g.keys, err = newKeys(c.Keys); err != nil {
		return err
	}
	logger := newBridge(g.log, g.metrics.heard)
	inner, err := listen(&memberlist.NetTransportConfig{BindAddrs: []string{bind}, BindPort: port, Logger: logger})
	if err != nil {
		return err
	}
	t := newTransport(inner, g.metrics.refusedStreams.Inc)
	if advIP == "" {
		advIP, err = ownAddress(inner, len(c.Seeds) == 0)
		if err != nil {
			return errors.Join(err, t.Shutdown())
		}
	}
	if advPort == 0 {
		advPort = inner.GetAutoBindPort()
	}
	g.self.Addr = net.JoinHostPort(advIP, strconv.Itoa(advPort))

	mc := c.Profile.memberlist()
	mc.Name = nameOf(c.Meta.Nonce)
	mc.Label = label
	if g.keys != nil {
		mc.Keyring = g.keys.ring
	}
	mc.Transport = t
	mc.BindAddr, mc.BindPort = bind, inner.GetAutoBindPort()
	mc.AdvertiseAddr, mc.AdvertisePort = advIP, advPort
	mc.Logger = logger
	mc.Delegate, mc.Events, mc.Alive = delegate{g}, events{g}, alive{}
	g.list, err = memberlist.Create(mc)
	if err != nil {
		return errors.Join(fmt.Errorf("gossip: start on %s: %w", c.Listen, err), t.Shutdown())
	}
	if err := registerHealth(c.Registerer, g.list.GetHealthScore); err != nil {
		return errors.Join(err, g.list.Shutdown())
	}
	return nil
}

// ownAddress picks the address to advertise when none is configured.
func ownAddress(t *memberlist.NetTransport, alone bool) (string, error) {
	ip, _, err := t.FinalAdvertiseAddr("", 0)
	if err == nil {
		if a, ok := netip.AddrFromSlice(ip); ok && !a.IsUnspecified() {
			return a.Unmap().String(), nil
		}
	}
	if alone { // a laptop without a network: nobody else needs to reach this broker
		return "127.0.0.1", nil
	}
	return "", errors.New("gossip: no address of this machine is fit to advertise: set the advertised gossip address")
}

// Self is oneself, as of the last SetMeta.
func (g *Gossip) Self() Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.self
}

// Members lists the live members, oneself included, sorted by broker id, then nonce. Where two claim one broker id or
// one address, only the newest boot is listed.
func (g *Gossip) Members() []Member {
	g.mu.Lock()
	all := make([]Member, 0, len(g.table)+1)
	for name, m := range g.table {
		if name != nameOf(g.self.Nonce) {
			all = append(all, m)
		}
	}
	all = append(all, g.self)
	g.mu.Unlock()
	return newestBoots(all)
}

// Resolved is what Decide takes as resolved. A seed that did not resolve yet is absent.
func (g *Gossip) Resolved() map[string]string { return g.seeds.answer(g.Members()) }

// Decide applies the function Decide to what is seen now.
func (g *Gossip) Decide() Decision {
	members := g.Members()
	return Decide(g.seeds.seeds, g.seeds.answer(members), g.Self(), members)
}

// SetMeta announces a changed Meta, soon and in the background; Self shows it at once. The nonce cannot change; SeedsHash
// and BootMS of 0 stand for what they were. Errors: a Meta that does not fit.
func (g *Gossip) SetMeta(m Meta) error {
	g.mu.Lock()
	if m.SeedsHash == 0 {
		m.SeedsHash = g.self.SeedsHash
	}
	if m.BootMS == 0 {
		m.BootMS = g.self.BootMS
	}
	if m.Nonce != g.self.Nonce {
		g.mu.Unlock()
		return fmt.Errorf("gossip: the boot nonce is %d and cannot become %d", g.self.Nonce, m.Nonce)
	}
	encoded, err := m.Encode()
	if err != nil {
		g.mu.Unlock()
		return err
	}
	g.self.Meta, g.encoded = m, encoded
	g.mu.Unlock()
	signal(g.publish)
	return nil
}

// changed has OnChange called soon.
func (g *Gossip) changed() { signal(g.changes) }

// signal fills a one-slot channel; a signal that is already waiting stands for this one too.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
