package main

import (
	"context"
	"crypto/tls"
	"iter"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// cluster is what the commands need of the SDK's client.
type cluster interface {
	Admin() admin
	// Produce hands over a record; promise is called once with its fate.
	Produce(ctx context.Context, r *client.Record, promise func(*client.Record, error))
	// Flush waits until the fate of every record is known.
	Flush(ctx context.Context) error
	NewReader(topic string, s readSpec) (reader, error)
	ListOffsets(ctx context.Context, topic string, at client.At) (map[int32]int64, error)
	Metadata(ctx context.Context, topics ...string) (*runnelv1.MetadataResponse, error)
	Close() error
}

// admin is the operator's side of the SDK.
type admin interface {
	CreateTopic(context.Context, *runnelv1.CreateTopicRequest) (*runnelv1.CreateTopicResponse, error)
	DeleteTopic(context.Context, *runnelv1.DeleteTopicRequest) (*runnelv1.DeleteTopicResponse, error)
	ListTopics(context.Context, *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error)
	DescribeTopic(context.Context, *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error)
	ListBrokers(context.Context, *runnelv1.ListBrokersRequest) (*runnelv1.ListBrokersResponse, error)
	ClusterStatus(context.Context, *runnelv1.ClusterStatusRequest) (*runnelv1.ClusterStatusResponse, error)
	AlterTopic(context.Context, *runnelv1.AlterTopicRequest) (*runnelv1.AlterTopicResponse, error)
	MovePartition(context.Context, *runnelv1.MovePartitionRequest) (*runnelv1.MovePartitionResponse, error)
	CancelMove(context.Context, *runnelv1.CancelMoveRequest) (*runnelv1.CancelMoveResponse, error)
	TransferLeadership(context.Context, *runnelv1.TransferLeadershipRequest) (*runnelv1.TransferLeadershipResponse, error)
	ListMoves(context.Context, *runnelv1.ListMovesRequest) (*runnelv1.ListMovesResponse, error)
	Plan(context.Context, *runnelv1.PlanRequest) (*runnelv1.PlanResponse, error)
	DrainBroker(context.Context, *runnelv1.DrainBrokerRequest) (*runnelv1.DrainBrokerResponse, error)
	UndrainBroker(context.Context, *runnelv1.UndrainBrokerRequest) (*runnelv1.UndrainBrokerResponse, error)
	DescribeDrain(context.Context, *runnelv1.DescribeDrainRequest) (*runnelv1.DescribeDrainResponse, error)
	RemoveBroker(context.Context, *runnelv1.RemoveBrokerRequest) (*runnelv1.RemoveBrokerResponse, error)
	ListSettings(context.Context, *runnelv1.ListSettingsRequest) (*runnelv1.ListSettingsResponse, error)
	AlterSettings(context.Context, *runnelv1.AlterSettingsRequest) (*runnelv1.AlterSettingsResponse, error)
	RecoverPartition(context.Context, *runnelv1.RecoverPartitionRequest) (*runnelv1.RecoverPartitionResponse, error)
}

// reader reads one topic; it is for one goroutine.
type reader interface {
	Records(ctx context.Context) iter.Seq2[*client.Record, error]
	// Waiting tells why nothing can be read now; empty if that is not so. Any goroutine may call it.
	Waiting() string
	Close() error
}

// readSpec says what a reader reads.
type readSpec struct {
	// partitions to read; none: all.
	partitions []int32
	// from is any place but fromEnd, which differs between partitions.
	from place
	// toEnd ends the reader where the end was when it was opened.
	toEnd bool
}

// connectSpec has the settings of a client.
type connectSpec struct {
	codec           record.Codec
	deliveryTimeout time.Duration // 0: the client's default
	tls             *tls.Config   // nil: plain text
}

// connectSDK makes the real cluster. It does not dial: the first call does.
func connectSDK(seeds []string, s connectSpec) (cluster, error) {
	opts := []client.Option{client.WithCompression(s.codec), client.WithFailFast()}
	if s.deliveryTimeout > 0 {
		opts = append(opts, client.WithDeliveryTimeout(s.deliveryTimeout))
	}
	if s.tls != nil {
		opts = append(opts, client.WithTLS(s.tls))
	}
	c, err := client.New(seeds, opts...)
	if err != nil {
		return nil, err
	}
	return sdkCluster{c}, nil
}

// sdkCluster narrows the SDK's concrete types to the interfaces here.
type sdkCluster struct{ *client.Client }

func (s sdkCluster) Admin() admin { return s.Client.Admin() }

func (s sdkCluster) NewReader(topic string, spec readSpec) (reader, error) {
	var opts []client.ReaderOption
	switch spec.from.kind {
	case atEnd:
		opts = append(opts, client.FromEnd())
	case atOffset:
		opts = append(opts, client.FromOffset(spec.from.n))
	case atTime:
		opts = append(opts, client.FromTime(spec.from.t))
	default:
		opts = append(opts, client.FromStart())
	}
	if len(spec.partitions) > 0 {
		opts = append(opts, client.Partitions(spec.partitions...))
	}
	if spec.toEnd {
		opts = append(opts, client.ToEnd())
	}
	r, err := s.Client.NewReader(topic, opts...)
	if err != nil {
		return nil, err
	}
	return r, nil
}
