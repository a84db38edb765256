package broker

import (
	"log/slog"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// disk watches the free space of the data folder: writes are refused before the file system is full, since a full one
// fails commits, and a failed commit costs the replica (finding E5).
type disk struct {
	dir     string
	reserve int64
	log     *slog.Logger
	low     atomic.Bool
}

// look asks the file system; it is called each second.
func (d *disk) look() {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		d.log.Warn("cannot ask for the free space of the data folder", "component", "broker", "dir", d.dir, "error", err)
		return
	}
	free := int64(st.Bavail) * st.Bsize
	low := free < d.reserve
	if d.low.Swap(low) == low {
		return
	}
	if low {
		d.log.Error("records are refused: the disk has less free space than disk.reserve.bytes", "component", "broker", "free", free, "reserve", d.reserve)
	} else {
		d.log.Info("records are accepted again: the disk has free space", "component", "broker", "free", free)
	}
}

func (d *disk) full() bool { return d.low.Load() }
