// Package ask is what the controller's leader asks of the brokers, beside what it tells them through the committed state:
// how their replicas are, and, of a partition's leader, the next step of a membership change.
//
//	placement/controller (on its leader)  --MethodStatus-->  placement/agent of every broker: quarantined, installing, led, sizes
//	                                      --MethodChange-->  placement/agent of the leader's broker: one configuration change
//
// The package has the messages and their encoding (JSON, few and small) and nothing else. Everything asked may be asked again:
// where a change has taken effect already the answer is that it has.
package ask
