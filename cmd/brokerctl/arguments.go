package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// argument is a positional one: its name in the usage line and what it is.
type argument struct{ name, what string }

var (
	nameArg      = argument{"NAME", "the topic's name"}
	topicArg     = argument{"TOPIC", "the topic's name"}
	partitionArg = argument{"PARTITION", "the partition's number"}
	brokerArg    = argument{"ID", "the broker's id"}
)

// these wants exactly the arguments given.
func these(wants ...argument) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(wants) {
			w := wants[len(args)]
			return fmt.Errorf("%s needs %s, %s", verb(cmd), w.name, w.what)
		}
		if len(args) > len(wants) {
			names := make([]string, len(wants))
			for i, w := range wants {
				names[i] = w.name
			}
			return fmt.Errorf("%s takes %s, not also %q", verb(cmd), strings.Join(names, " "), args[len(wants)])
		}
		return nil
	}
}

// nothing wants no argument.
func nothing(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, not %q", verb(cmd), args[0])
	}
	return nil
}

// onBroker reads the argument ID.
func onBroker(args []string) (int32, error) {
	return number(args[0], "broker's id", firstBroker, "broker list")
}

// onPartition reads the arguments TOPIC PARTITION.
func onPartition(args []string) (topic string, n int32, err error) {
	n, err = number(args[1], "partition's number", 0, "topic describe")
	return args[0], n, err
}

// number reads a number from least on, of which a command shows those that there are.
func number(s, what string, least int64, shows string) (int32, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < least {
		return 0, fmt.Errorf("%q is no %s: use a number from %d on, as %s shows", s, what, least, shows)
	}
	return int32(n), nil
}

// firstBroker is the least id of a broker.
const firstBroker = 1

// brokerFlag checks the brokers' ids that a flag has, if it was given.
func brokerFlag(cmd *cobra.Command, flag string, ids ...int32) error {
	for _, id := range ids {
		if cmd.Flags().Changed(flag) && id < firstBroker {
			return fmt.Errorf("--%s has %d: brokers' ids begin at %d", flag, id, firstBroker)
		}
	}
	return nil
}
