package runnelv1

import (
	"strconv"

	"google.golang.org/grpc/metadata"
)

// The headers of the answers of Produce, Fetch, ListOffsets and InitProducer that tell which broker gives them, of which cluster.
const (
	brokerHeader  = "runnel-broker"
	clusterHeader = "runnel-cluster"
)

// BrokerHeader is the header of a broker's answers.
func BrokerHeader(id int32, cluster string) metadata.MD {
	return metadata.Pairs(brokerHeader, strconv.FormatInt(int64(id), 10), clusterHeader, cluster)
}

// ClusterOf is the cluster that a header tells, "" if it tells none, as those of older releases.
func ClusterOf(h metadata.MD) string {
	if v := h.Get(clusterHeader); len(v) == 1 {
		return v[0]
	}
	return ""
}

// BrokerOf is the broker that a header tells; false if it tells none, as those of older releases.
func BrokerOf(h metadata.MD) (int32, bool) {
	v := h.Get(brokerHeader)
	if len(v) != 1 {
		return 0, false
	}
	id, err := strconv.ParseInt(v[0], 10, 32)
	return int32(id), err == nil
}
