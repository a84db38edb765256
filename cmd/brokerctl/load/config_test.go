package load

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/rpc/client"
)

func TestTheDefaultsInForceAreTold(t *testing.T) {
	for mode, linger := range map[Mode]time.Duration{Produce: client.DefaultLinger, Consume: client.DefaultLinger, Latency: 0, EndToEnd: 0} {
		c, err := Config{
			Mode: mode, RecordSize: 100, Producers: 1, Consumers: 1, Partitions: 1, Duration: time.Second, Linger: -1,
			Rate: map[Mode]float64{EndToEnd: 1}[mode],
		}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		r := (&run{cfg: c}).result()
		if r.BatchBytes != client.DefaultBatchBytes || r.BufferBytes != client.DefaultBufferBytes || r.LingerUS != linger.Microseconds() {
			t.Errorf("%s: batch bytes %d, buffer bytes %d, linger %d us", mode, r.BatchBytes, r.BufferBytes, r.LingerUS)
		}
	}
}
