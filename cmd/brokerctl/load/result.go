package load

import (
	"math"
	"time"
)

// Result is what a run measured, with the settings it ran under. Its JSON keys are stable.
type Result struct {
	RecordsPerSecond float64 `json:"records_per_second"`
	// MBPerSecond counts payload bytes, in units of 1,000,000.
	MBPerSecond float64 `json:"mb_per_second"`
	// The latencies are absent (null) in consume mode, which has none.
	P50US  *int64 `json:"p50_us"`
	P90US  *int64 `json:"p90_us"`
	P99US  *int64 `json:"p99_us"`
	P999US *int64 `json:"p999_us"`
	MaxUS  *int64 `json:"max_us"`
	// Errors counts records not acknowledged (whenever they were sent), not read back, or reads that failed.
	Errors int64 `json:"errors"`
	// FirstError is the first of them, for a person.
	FirstError string `json:"first_error,omitempty"`
	// Records were counted in Seconds, the measured window.
	Records int64   `json:"records"`
	Seconds float64 `json:"seconds"`

	Mode              Mode              `json:"mode"`
	Topic             string            `json:"topic"`
	RecordSize        int               `json:"record_size"`
	Producers         int               `json:"producers"`
	Consumers         int               `json:"consumers"`
	Clients           int               `json:"clients"`
	Partitions        int32             `json:"partitions"`
	ReplicationFactor int32             `json:"replication_factor"`
	DurationSeconds   float64           `json:"duration_seconds"`
	WarmUpSeconds     float64           `json:"warm_up_seconds"`
	Rate              float64           `json:"rate"`
	BatchBytes        int               `json:"batch_bytes"`
	BufferBytes       int               `json:"buffer_bytes"`
	LingerUS          int64             `json:"linger_us"`
	Compression       string            `json:"compression"`
	Config            map[string]string `json:"config"`
}

// result turns a finished run's meters into figures.
func (r *run) result() Result {
	t := sum(r.meters)
	end := r.win.to
	// Late acks of an open loop, the last record of a counted run, and an interrupted run end with the last ack.
	if t.last.After(end) || end.IsZero() || r.interrupted {
		end = t.last
	}
	seconds := max(end.Sub(r.win.from).Seconds(), 0)
	c := r.cfg
	res := Result{
		Errors: t.errors, Records: t.records, Seconds: round(seconds, 3),
		Mode: c.Mode, Topic: r.topic, RecordSize: c.RecordSize, Producers: c.Producers, Consumers: c.Consumers, Clients: c.Clients,
		Partitions: r.partitions, ReplicationFactor: r.replicas,
		DurationSeconds: round(c.Duration.Seconds(), 3), WarmUpSeconds: round(c.WarmUp.Seconds(), 3), Rate: round(c.Rate, 3),
		BatchBytes: c.BatchBytes, BufferBytes: c.BufferBytes, LingerUS: c.Linger.Microseconds(),
		Compression: c.Compression.String(), Config: c.TopicConfig,
	}
	if res.Config == nil {
		res.Config = map[string]string{}
	}
	if t.firstErr != nil {
		res.FirstError = t.firstErr.Error()
	}
	if seconds > 0 {
		res.RecordsPerSecond = round(float64(t.records)/seconds, 1)
		res.MBPerSecond = round(float64(t.bytes)/seconds/1e6, 3)
	}
	if c.Mode != Consume {
		at := func(p float64) *int64 { v := t.percentileUS(p); return &v }
		res.P50US, res.P90US, res.P99US, res.P999US = at(50), at(90), at(99), at(99.9)
		res.MaxUS = &t.maxUS
	}
	return res
}

func round(v float64, decimals int) float64 {
	p := math.Pow10(decimals)
	return math.Round(v*p) / p
}

// Snapshot is how far a run is, once a second.
type Snapshot struct {
	// Phase is what the run is doing: "creating topic", "filling", "warming up", "measuring", "draining", "removing topic".
	Phase   string
	Elapsed time.Duration // since the run began
	// Records and Bytes of the last interval, per second, of the meters in use.
	RecordsPerSecond, MBPerSecond float64
	// P99 of the measured window so far; 0 if there is none.
	P99    time.Duration
	Errors int64
}
