package controller

import (
	"errors"
	"log/slog"
	"reflect"
	"testing"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/allocs"
	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// FuzzWire reads what other brokers send the controller, or answer it, and what stands in its log: it is refused by a definite error,
// or is the same when it is written again.
func FuzzWire(f *testing.F) {
	for _, r := range []Request{
		CreateTopic{Name: "t", Partitions: 3, RF: 2, Config: map[string]string{"retention.ms": "1"}, RequestID: "r"},
		RegisterBroker{Broker: placement.Registration{Incarnation: "i", PeerAddr: "b:1", ClientAddr: "b:2"}, Lost: "disk"},
		DeleteTopic{Name: "t"}, AlterTopicConfig{Name: "t", Unset: []string{"segment.ms"}}, ForgetReplicas{Broker: 1, Replicas: []uint64{4}},
		MovePartition{Topic: "t"}, Overview{}, SetDraining{Broker: 2}, AlterSettings{Broker: 3, Set: map[string]string{"log.level": "debug"}, Unset: []string{"x"}, By: "y"},
	} {
		b, err := encodeRequest(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	cmd, err := placement.Encode(placement.DeleteTopic{Name: "t", ID: 4})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(putPayload(7, 9, 1, cmd)[record.EnvelopeLen:])
	f.Add(ask.Encode(ask.StatusRequest{Groups: []uint64{2}, Installs: []uint64{9}, Sizes: true}))
	f.Add(ask.Encode(ask.StatusResponse{Boot: 3, Quarantined: map[uint64]string{4: "disk"}, Groups: map[uint64]ask.Group{2: {Replica: 5, Voters: []uint64{5}}}}))
	f.Add(ask.Encode(ask.ChangeRequest{Group: 2, Kind: ask.Transfer, Replica: 6, Broker: 3}))
	f.Add([]byte(`{"Topic":{"partitions":[{"move":null}]},"Overview":null}`))
	c, s := fuzzPlanner(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		allocs.Most(t, 16<<20+200*uint64(len(b)), func() {
			r = readRequest(t, b)
			readPayload(t, b)
			readAsked[ask.StatusRequest](t, b)
			readAsked[ask.StatusResponse](t, b)
			readAsked[ask.ChangeRequest](t, b)
			_, err := DecodeResponse(b)
			definite(t, err)
		})
		if r != nil {
			allocs.Most(t, 1<<30, func() { planRequest(t, c, s, r) })
		}
	})
}

// fuzzPlanner is a controller that plans, and a state with a topic.
func fuzzPlanner(f *testing.F) (*Controller, *placement.State) {
	e, stop := env.NewReal(env.RealOptions{})
	f.Cleanup(stop)
	c := New(Config{Env: e, BrokerID: 1, Alive: func(int32) bool { return true }, Log: slog.New(slog.DiscardHandler)})
	f.Cleanup(c.Stop)
	s := placement.New()
	reg := func(name string) placement.Registration {
		return placement.Registration{Incarnation: name, PeerAddr: name + ":1", ClientAddr: name + ":2"}
	}
	for _, cmd := range []placement.Command{
		placement.FoundCluster{ClusterID: "c1", Broker: reg("a")}, placement.RegisterBroker{Broker: reg("b")}, placement.RegisterBroker{Broker: reg("c")},
		placement.RegisterBroker{Broker: reg("d")}, placement.CreateTopic{Name: "t", Brokers: [][]int32{{1, 2, 3}, {2, 3, 1}}},
	} {
		var err error
		if s, _, err = placement.Apply(s, cmd); err != nil {
			f.Fatal(err)
		}
	}
	c.hearing.pass(e.Now(), s.Brokers, func(int32) bool { return true })
	return c, s
}

// planRequest: a request is refused, or leads to a command that can be written, read and folded.
func planRequest(t *testing.T, c *Controller, s *placement.State, r Request) {
	switch r.(type) {
	case LookUpTopic, TransferLeadership, Overview:
		return // nothing is planned for them
	}
	cmd, _, refused := c.plan(s, r)
	if refused != nil {
		if refused.GetMessage() == "" || refused.GetReason() == runnelv1.ErrorReason_ERROR_REASON_INTERNAL {
			t.Fatalf("%#v is refused with %v", r, refused)
		}
		return
	}
	if cmd == nil {
		return
	}
	b, err := placement.Encode(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if cmd, err = placement.Decode(b); err != nil {
		t.Fatal(err)
	}
	_, _, err = placement.Apply(s, cmd)
	var e *placement.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%#v: %T %v", cmd, err, err)
	}
}

// definite fails on an error that does not say what it is, or that asks to try what can never succeed.
func definite(t *testing.T, err error) {
	t.Helper()
	var e *runnelv1.Error
	if err != nil && (!errors.As(err, &e) || e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || e.GetMessage() == "") {
		t.Fatalf("refused with %T: %v", err, err)
	}
}

func readRequest(t *testing.T, b []byte) Request {
	r, err := decodeRequest(b)
	if err != nil {
		definite(t, err)
		return nil
	}
	written, err := encodeRequest(r)
	if err != nil {
		t.Fatalf("%#v was read and cannot be written: %v", r, err)
	}
	again, err := decodeRequest(written)
	if err != nil || reflect.TypeOf(again) != reflect.TypeOf(r) {
		t.Fatalf("%#v is written as %s, which is %#v: %v", r, written, again, err)
	}
	if twice, err := encodeRequest(again); err != nil || string(twice) != string(written) {
		t.Fatalf("written as %s, then as %s: %v", written, twice, err)
	}
	return r
}

func readPayload(t *testing.T, b []byte) {
	nonce, seq, cmd, err := openPayload(b)
	if err != nil {
		var e *placement.Error
		if !errors.As(err, &e) || e.Code != placement.CodeUnknownCommand {
			t.Fatalf("refused with %T: %v", err, err)
		}
		return
	}
	if again := putPayload(nonce, seq, 1, cmd)[record.EnvelopeLen:]; string(again) != string(b) {
		t.Fatalf("%x is written as %x", b, again)
	}
}

func readAsked[M any](t *testing.T, b []byte) {
	m, err := ask.Decode[M](b)
	if err != nil {
		definite(t, err)
		return
	}
	written := ask.Encode(m)
	again, err := ask.Decode[M](written)
	if err != nil || string(ask.Encode(again)) != string(written) {
		t.Fatalf("%s was read, and then: %+v, %v", written, again, err)
	}
}
