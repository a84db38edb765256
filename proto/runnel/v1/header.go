package runnelv1

import (
	"strconv"

	"google.golang.org/grpc/metadata"
)

// brokerHeader is the header of the answers of a Produce or a Fetch stream that tells which broker gives them.
const brokerHeader = "runnel-broker"

// BrokerHeader is the header of a broker's answers.
func BrokerHeader(id int32) metadata.MD {
	return metadata.Pairs(brokerHeader, strconv.FormatInt(int64(id), 10))
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
