import sys
import grpc
from runnel.v1 import admin_pb2, admin_pb2_grpc, broker_pb2, broker_pb2_grpc, common_pb2

channel = grpc.insecure_channel(sys.argv[1])
admin = admin_pb2_grpc.AdminStub(channel)
broker = broker_pb2_grpc.BrokerStub(channel)
admin.CreateTopic(admin_pb2.CreateTopicRequest(name="from-python", partitions=1, replication_factor=1))

records = [common_pb2.Record(key=b"k%d" % i, value=b"hello %d" % i) for i in range(3)]
request = broker_pb2.ProduceRequest(partitions=[broker_pb2.ProducePartition(topic="from-python", partition=0, records=records)])
for response in broker.Produce(iter([request])):
    for result in response.results:
        assert not result.HasField("error"), result.error.message
        print("written from offset", result.base_offset)

fetch = broker_pb2.FetchPartition(topic="from-python", partition=0, offset=0)
answer = broker.FetchOnce(broker_pb2.FetchOnceRequest(partitions=[fetch], max_wait_ms=1000, min_bytes=1, max_bytes=1 << 20, plain_records=True))
for r in answer.results[0].records:
    print(r.offset, r.record.key.decode(), r.record.value.decode())
