package broker

import (
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// disk watches the free space of the data folder: writes are refused before the file system is full, since what finds it full waits for space, and
// its client with it (finding E5). The controller hears of it and has others lead meanwhile.
type disk struct {
	dir     string
	free    func() (int64, error) // bytes
	total   func() (int64, error) // bytes
	reserve atomic.Int64          // bytes; changes while the broker runs
	log     *slog.Logger
	low     atomic.Bool
	last    atomic.Int64 // bytes that were free
	size    atomic.Int64 // bytes in all; 0 before it is known. Scrapes ask the disk nothing: it may hang
	unknown bool         // of look: the last one failed
}

// again is the part of the reserve that has to be free beyond it before records are accepted again. Without it leaders would go
// and come with each segment that retention deletes.
const again = 16

func (d *disk) register(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_broker_disk_free_bytes", Help: "Free space of the data folder's disk.",
	}, func() float64 { return float64(d.last.Load()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_broker_disk_total_bytes", Help: "Size of the data folder's disk.",
	}, func() float64 { return float64(d.size.Load()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_broker_disk_reserve_bytes", Help: "Free space below which records are refused (disk.reserve.bytes).",
	}, func() float64 { return float64(d.reserve.Load()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_broker_disk_full", Help: "1 while records are refused for want of space, else 0.",
	}, func() float64 {
		if d.full() {
			return 1
		}
		return 0
	}))
}

// look asks the file system; it is called each second, by one goroutine.
func (d *disk) look() {
	free, err := d.free()
	if err != nil {
		if !d.unknown {
			d.log.Warn("cannot ask for the free space of the data folder", "component", "broker", "dir", d.dir, "error", err)
		}
		d.unknown = true
		return
	}
	d.unknown = false
	d.last.Store(free)
	if n, err := d.total(); err == nil { // it was just asked, and gave an answer
		d.size.Store(n)
	}
	was := d.low.Load()
	reserve := d.reserve.Load()
	low := free < reserve || was && free < reserve+reserve/again
	if d.low.Swap(low) == low {
		return
	}
	if low {
		d.log.Error("records are refused, and others lead: the disk has less free space than disk.reserve.bytes", "component", "broker", "free", free, "reserve", reserve)
	} else {
		d.log.Info("records are accepted again: the disk has free space", "component", "broker", "free", free)
	}
}

func (d *disk) full() bool { return d.low.Load() }
