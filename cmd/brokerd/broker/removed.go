package broker

import (
	"errors"
	"fmt"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/runnel-io/runnel/placement"
)

// A broker that was removed must not go on: what it knows of the cluster grows old, and clients would believe it. It learns of it from
// its own replica of the controller group, or from the leader of that group, which it asks every controllerEvery and at each start. Nothing
// else counts, neither silence nor what another broker or a stranger answers: a broker that is cut off is a member.

// removedError says that this broker is no member, and what to do.
type removedError struct {
	broker  int32
	cluster string
	dir     string
	why     error
}

func (e *removedError) Error() string {
	return fmt.Sprintf("broker %d is no member of cluster %s (%v): it cannot come back under this id. To have this host join as a new broker, start it with another, empty data folder (data.dir), and delete %s when nothing in it is needed",
		e.broker, e.cluster, e.why, e.dir)
}

func (e *removedError) Unwrap() error { return e.why }

// removed makes the error of a broker that is no member.
func (b *Broker) removed(why error) error {
	id := b.store.Identity()
	return &removedError{broker: id.BrokerID, cluster: id.ClusterID, dir: b.cfg.DataDir, why: why}
}

// leave ends the broker for good. Clients are sent elsewhere at once.
func (b *Broker) leave(why error) {
	err := b.removed(why)
	b.gate.shutDown(fmt.Sprintf("broker %d was removed from the cluster", b.ID()))
	b.services.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	b.setPhase(err.Error())
	b.ready.Store(false)
	b.fail(err)
}

// expelled tells whether a committed state of this cluster, of a time when the broker had its id, does not have it any more. Ids are used
// once, so that is the last word; a state from before it joined says nothing.
func expelled(s *placement.State, broker int32) bool {
	return broker > 0 && s.ClusterID != "" && s.NextBroker > broker && s.Brokers[broker] == nil
}

var errExpelled = errors.New("it was removed")

// IsRemoved tells whether a broker ended with err since it was removed from its cluster.
func IsRemoved(err error) bool {
	var r *removedError
	return errors.As(err, &r)
}
