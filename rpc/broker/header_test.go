package broker

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// A client that has connected by a name learns who answers.
func TestAnswersTellWhoGivesThem(t *testing.T) {
	h := newHarness(t, harnessOptions{producers: &fakeProducers{id: 77}})
	produce := must[runnelv1.Broker_ProduceClient](t)(h.client.Produce(h.ctx))
	if err := produce.Send(&runnelv1.ProduceRequest{}); err != nil {
		t.Fatal(err)
	}
	must[*runnelv1.ProduceResponse](t)(produce.Recv())
	fetch := must[runnelv1.Broker_FetchClient](t)(h.client.Fetch(h.ctx))
	if err := fetch.Send(&runnelv1.FetchRequest{CreditBytes: 1, Partitions: []*runnelv1.FetchPartition{{Topic: "none"}}}); err != nil {
		t.Fatal(err)
	}
	must[*runnelv1.FetchResponse](t)(fetch.Recv())
	var unary metadata.MD
	must[*runnelv1.ListOffsetsResponse](t)(h.client.ListOffsets(h.ctx, &runnelv1.ListOffsetsRequest{}, grpc.Header(&unary)))
	var id metadata.MD
	must[*runnelv1.InitProducerResponse](t)(h.client.InitProducer(h.ctx, &runnelv1.InitProducerRequest{}, grpc.Header(&id)))
	for what, header := range map[string]metadata.MD{
		"produce": must[metadata.MD](t)(produce.Header()), "fetch": must[metadata.MD](t)(fetch.Header()), "list offsets": unary,
		"init producer": id,
	} {
		if id, told := runnelv1.BrokerOf(header); !told || id != 1 {
			t.Errorf("%s: %d, %t", what, id, told)
		}
		if c := runnelv1.ClusterOf(header); c != "c1" {
			t.Errorf("%s: cluster %q", what, c)
		}
	}
	if id, told := runnelv1.BrokerOf(nil); told {
		t.Errorf("no header tells broker %d", id)
	}
}
