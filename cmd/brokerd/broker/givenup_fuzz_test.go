package broker

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/allocs"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// FuzzGivenUp has another broker say whatever about a recovery of the controller group by hand: as a question, as the word that this broker's
// replica was given up, and as an answer. What is not readable is refused and counts for nothing; what is believed gives the replica up by what it
// says, and only that.
func FuzzGivenUp(f *testing.F) {
	const own, other = 4, 2
	recovery := placement.ControllerRecovery{Kept: 1, Broker: 1, Lost: []uint64{own, 3}, Below: 1 << 32, Note: "by hand", Revision: 1 << 33}
	for _, m := range []any{
		givenUpQuestion{Replica: own}, givenUpQuestion{Replica: 1 << 33}, recovery, placement.ControllerRecovery{Kept: own, Below: 9},
		givenUpAnswer{GivenUp: true, Recovery: recovery}, givenUpAnswer{GivenUp: true}, givenUpAnswer{Recovery: recovery},
	} {
		b, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte(`{"replica":4,"below":4294967296,"kept":1,"lost":7}`))
	f.Add([]byte(`{"given_up":true,"recovery":{"below":4294967296,"kept":1,"lost":[-1]}}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"replica":-1}`))
	b := folder(f, own, [2]uint64{controllerGroup, own})
	b.log = slog.New(slog.DiscardHandler)
	b.logged.Store(&logRecovery{replica: own, recovery: recovery, ok: true})
	e, stop := env.NewReal(env.RealOptions{})
	f.Cleanup(stop)
	c := &core{look: make(chan struct{}, 1), ctl: controller.New(controller.Config{Env: e, BrokerID: own, Alive: func(int32) bool { return true }, Log: b.log})}
	f.Cleanup(c.ctl.Stop)
	f.Fuzz(func(t *testing.T, body []byte) {
		// given tells whether this broker takes its replica for given up, and forgets it.
		given := func() bool {
			by := b.given.of(own)
			if by != 0 && by != other {
				t.Fatalf("broker %d is said to have told it", by)
			}
			b.given.told(0, placement.ControllerRecovery{})
			return by != 0
		}
		var out []byte
		var err error
		most := 1<<20 + 64*uint64(len(body))
		allocs.Most(t, most, func() { out, err = b.serveGivenUp(body) })
		if a := refusedOr(t, out, err); a != nil {
			var q givenUpQuestion
			if err := json.Unmarshal(body, &q); err != nil || a.GivenUp != recovery.GivesUp(q.Replica) || a.Recovery.Below != recovery.Below {
				t.Fatalf("%s is answered %s: %v", body, out, err)
			}
		}
		allocs.Most(t, most, func() { out, err = b.serveRecovered(c, other, body) })
		a, looks := refusedOr(t, out, err), len(c.look) > 0
		if looks {
			<-c.look
		}
		var told placement.ControllerRecovery
		if readable := json.Unmarshal(body, &told) == nil; readable != (a != nil) || readable && a.GivenUp != told.GivesUp(own) {
			t.Fatalf("%s is answered %s: %v", body, out, err)
		}
		if believed := a != nil && a.GivenUp; given() != believed || looks != believed {
			t.Fatalf("%s is answered %s, %v; it looks after its replica: %v", body, out, err, looks)
		}
		var heard givenUpAnswer
		allocs.Most(t, most, func() { heard, err = readGivenUp(body) })
		if err != nil && (heard.GivenUp || heard.Recovery.Below != 0 || err.Error() == "") {
			t.Fatalf("of %s, which is not readable, is left %+v: %v", body, heard, err)
		}
		if believed := b.believe(heard, own, other); given() != believed || believed && !(heard.GivenUp && heard.Recovery.GivesUp(own)) {
			t.Fatalf("%s is believed: %v", body, believed)
		}
	})
}

// refusedOr gives an answer, or nil for a refusal, which is definite and has words.
func refusedOr(t *testing.T, out []byte, err error) *givenUpAnswer {
	t.Helper()
	if err != nil {
		var e *runnelv1.Error
		if !errors.As(err, &e) || e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT || e.GetMessage() == "" || out != nil {
			t.Fatalf("refused with %q and %T: %v", out, err, err)
		}
		return nil
	}
	a, err := readGivenUp(out)
	if err != nil {
		t.Fatal(err)
	}
	return &a
}
