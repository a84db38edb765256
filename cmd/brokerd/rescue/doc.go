// Package rescue is for a cluster whose controller group has lost its majority for good: no vote can bring that back, and without a
// controller nothing is placed, made or removed any more. It works on the data folder of a broker that does not run, which it locks.
//
// Look reads what the broker's replica of the controller group holds. Recover writes into its log that the replica goes on alone
// (raftlog.RecoverAlone), with the command that names all others as lost (placement.RecoverController), in one transaction. What this replica
// holds counts as committed from then on, and what only the others held is gone. The broker then starts as the group's only voter, and the group grows by
// itself as other brokers come, those with a lost replica among them: each gets a new one (package broker, givenup.go).
//
// Caller: the command `brokerd controller recover`.
package rescue
