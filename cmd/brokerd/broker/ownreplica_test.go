package broker_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

// breakable gives broker n's replica of the controller group a disk that fails while an error is stored. The brokers look after their
// replicas so rarely that they have to be woken.
func breakable(n int) (*atomic.Pointer[error], brokertest.Option) {
	var broken atomic.Pointer[error]
	return &broken, brokertest.Edit(func(i int, cfg *broker.Config) {
		cfg.ControllerEvery = time.Hour
		if i != n {
			return
		}
		own := filepath.Join(cfg.DataDir, "replicas", fmt.Sprintf("%016x-", placement.ControllerGroup))
		cfg.Hooks = raftlog.Hooks{Commit: func(path string, commit func() error) error {
			if why := broken.Load(); why != nil && len(path) > len(own) && path[:len(own)] == own {
				return *why
			}
			return commit()
		}}
	})
}

// failOwn has a broker's controller replica fail, and waits until it did.
func failOwn(t *testing.T, c *brokertest.Cluster, n int, broken *atomic.Pointer[error], why error) {
	t.Helper()
	reg, before := c.Broker(1).Registration(), c.Broker(n).Own()
	broken.Store(&why)
	i := 0
	c.Eventually(func() bool {
		i++
		reg.Rack = fmt.Sprint(i)
		_, _ = c.Broker(1).Do(patient(t), controller.RegisterBroker{Broker: reg}) // the leader may be the one that fails
		now := c.Broker(n).Own()
		return now != before || now.Healthy() != nil
	}, func() string { return "it does not fail" })
}

func TestControllerReplicaWhoseDiskFailsIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	broken, option := breakable(3)
	c := brokertest.Start(t, 3, option)
	settled(t, c, 3, 3)
	old, _, _ := ownLog(t, c, 3)
	failOwn(t, c, 3, broken, errors.New("the test's disk is bad"))
	broken.Store(nil)
	settled(t, c, 3, 3)
	if replica, _, _ := ownLog(t, c, 3); replica == old {
		t.Errorf("replica %d goes on after its disk failed", replica)
	}
	works(t, c, "orders", 3)
}

func TestControllerReplicaThatStoppedForWantOfSpaceRunsAgain(t *testing.T) {
	t.Parallel()
	broken, option := breakable(3)
	c := brokertest.Start(t, 3, option)
	settled(t, c, 3, 3)
	old, _, _ := ownLog(t, c, 3)
	failOwn(t, c, 3, broken, syscall.ENOSPC)
	broken.Store(nil)
	settled(t, c, 3, 3)
	if replica, _, _ := ownLog(t, c, 3); replica != old {
		t.Errorf("replica %d was replaced by %d, and only lacked space", old, replica)
	}
	works(t, c, "orders", 3)
}
