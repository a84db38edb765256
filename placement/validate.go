package placement

// Limits of one cluster. They protect the controller log and the brokers' file tables, not a design limit.
const (
	MaxNameLen           = 249
	MaxPartitions        = 10_000  // of one topic
	MaxReplicationFactor = 15      // of one topic
	MaxReplicas          = 400_000 // of all topics together: 100,000 partitions of three, and what moves add meanwhile
	MaxRetired           = 512     // request ids of deleted topics that are remembered
	MaxConfigEntries     = 100     // settings of one topic
	MaxConfigBytes       = 16 << 10
	MaxProducerBlock     = 1_000_000
	MaxMoveBatch         = 1_000 // moves of one command: with the longest names and reasons about 1.5 MiB
	MaxReasonBytes       = 1_000 // of a move's reason and of a recovery's note
	MaxRecoveries        = 100   // that are remembered
)

// ValidateName checks a topic name: ^[A-Za-z0-9._-]{1,249}$, not "." or "..". The error is an *Error.
func ValidateName(name string) error {
	switch {
	case name == "":
		return Errorf(CodeInvalid, "the topic has no name: give it 1 to %d of A-Z a-z 0-9 . _ -", MaxNameLen)
	case len(name) > MaxNameLen:
		return Errorf(CodeInvalid, "the topic name is %d bytes long: at most %d are allowed", len(name), MaxNameLen)
	case name == "." || name == "..":
		return Errorf(CodeInvalid, "the topic name %q is not allowed: choose another", name)
	}
	for i := range len(name) {
		c := name[i]
		ok := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return Errorf(CodeInvalid, "the topic name %q has %q in it: use only A-Z a-z 0-9 . _ -", name, c)
		}
	}
	return nil
}

// ValidateShape checks the number of partitions and the replication factor of one topic. The error is an *Error.
func ValidateShape(partitions, rf int) error {
	if partitions < 1 || partitions > MaxPartitions {
		return Errorf(CodeInvalid, "%d partitions asked for: a topic has 1 to %d", partitions, MaxPartitions)
	}
	if rf < 1 || rf > MaxReplicationFactor {
		return Errorf(CodeInvalid, "replication factor %d asked for: it is 1 to %d", rf, MaxReplicationFactor)
	}
	return nil
}

// ValidateRoom checks that the cluster has room for more replicas. The error is an *Error.
func (s *State) ValidateRoom(more int) error {
	if s.Replicas+more > MaxReplicas {
		return Errorf(CodeLimit, "%d more replicas asked for and the cluster has %d of at most %d: use fewer partitions or replicas, or delete topics",
			more, s.Replicas, MaxReplicas)
	}
	return nil
}

func validateConfig(config map[string]string) error {
	if len(config) > MaxConfigEntries {
		return Errorf(CodeInvalid, "%d settings given: a topic has at most %d", len(config), MaxConfigEntries)
	}
	n := 0
	for k, v := range config {
		n += len(k) + len(v)
	}
	if n > MaxConfigBytes {
		return Errorf(CodeInvalid, "the topic's settings are %d bytes long: at most %d are allowed", n, MaxConfigBytes)
	}
	return nil
}
