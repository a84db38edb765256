package broker

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

// State is the controller's newest state that the broker has applied.
func (b *Broker) State() *placement.State { return b.state() }

// Do asks the controller through this broker.
func (b *Broker) Do(ctx context.Context, r controller.Request) (controller.Response, error) {
	return view{b}.Do(ctx, r)
}

// Registration is what the broker tells the controller of itself.
func (b *Broker) Registration() placement.Registration { return b.registration() }

// AskedInVain asks for the controller's leader as keepController does, and tells whether the broker would end itself for the answer.
func (b *Broker) AskedInVain(ctx context.Context) (fatal bool, err error) {
	held, _ := b.heldController()
	_, _, err = b.askNewController(ctx, held, "")
	return refused(err), err
}

// Failed tells why the broker ends itself, nil if it does not.
func (b *Broker) Failed() error { return b.healthy() }

// Open tells whether the broker runs a replica of the controller group.
func (b *Broker) Open() bool { return b.core.Load() != nil }

// Own is the broker's replica of the controller group as it was started last.
func (b *Broker) Own() *multiraft.Group { return b.core.Load().own.Load() }

// OwnLog tells of the broker's replica of the controller group: its id, and the first and last entry of its log.
func (b *Broker) OwnLog(ctx context.Context) (replica, first, last uint64, err error) {
	c := b.core.Load()
	if c == nil {
		return 0, 0, 0, errStarting
	}
	sh, err := c.ctl.Ship(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	m := sh.Manifest()
	first = m.TailFirst
	if len(m.Files) > 0 {
		first = m.Files[0].First
	}
	return m.Replica, first, m.Index, sh.Close()
}

// SayLeaving tells the other brokers that this one is about to stop, as Stop does.
func (b *Broker) SayLeaving(ctx context.Context) { b.sayLeaving(ctx, b.core.Load()) }

// Leaves tells whether another broker said so.
func (b *Broker) Leaves(id int32) bool { return b.core.Load().leaving.is(id, b.env.Now()) }

// LeadsController tells whether the broker leads the controller group.
func (b *Broker) LeadsController() bool { return view{b}.ControllerID() == b.ID() }

// Following is what the broker goes by now of its settings that change while it runs.
type Following struct {
	Rate, Produce, Reserve int64
	Level                  slog.Level
}

// Following tells what the broker goes by.
func (b *Broker) Following() Following {
	return Following{Rate: b.catchup.limiter.Rate(), Produce: b.budget.Limit(), Reserve: b.disk.reserve.Load(), Level: b.level.Level()}
}

// DiskFull tells whether the broker refuses records for want of space.
func (b *Broker) DiskFull() bool { return b.disk.full() }

// Registry has the broker's metrics.
func (b *Broker) Registry() *prometheus.Registry { return b.reg }
