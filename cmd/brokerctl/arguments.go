package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// argument is a positional one: its name in the usage line and what it is.
type argument struct{ name, what string }

var (
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

// brokerID reads a broker's id.
func brokerID(s string) (int32, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt32 {
		return 0, fmt.Errorf("%q is no broker's id: use a number from 1 on, as broker list shows", s)
	}
	return int32(n), nil
}

// partitionNumber reads a partition's number.
func partitionNumber(s string) (int32, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("%q is no partition's number: use a number from 0 on, as topic describe shows", s)
	}
	return int32(n), nil
}
