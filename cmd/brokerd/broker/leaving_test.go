package broker

import (
	"testing"
	"time"
)

func TestABrokerThatSaidItLeavesIsSilentUntilItsProcessEnds(t *testing.T) {
	var l leaving
	now := time.Unix(1000, 0)
	if l.is(2, now) {
		t.Error("broker 2 said nothing")
	}
	l.says(2, now)
	if !l.is(2, now.Add(time.Second)) || l.is(3, now) {
		t.Error("broker 2 leaves, and it alone")
	}
	l.ended(2)
	if l.is(2, now.Add(time.Second)) {
		t.Error("its process is another one by now")
	}
	l.says(2, now)
	if l.is(2, now.Add(leavingFor)) {
		t.Error("it never left")
	}
}
