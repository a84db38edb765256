package admin

import (
	"context"
	"fmt"
)

// Lacking looks at the partitions with a replica on this broker, and tells how many of them are without a leader or under-replicated, and
// why one is. It asks the brokers that hold them, and waits for two seconds at most: one that does not tell counts as lacking.
func (s *Server) Lacking(ctx context.Context) (n int, example string) {
	var views []*view
	st := s.cluster.State()
	for _, name := range st.TopicNames() {
		t := st.Topics[name]
		for i := range t.Partitions {
			if _, here := t.Partitions[i].On(s.id); here {
				views = append(views, s.glance(t, i))
			}
		}
	}
	s.ask(ctx, views, false)
	for _, v := range views {
		if why := v.reason(s.cluster.Alive); why != "" {
			if n++; n == 1 {
				example = fmt.Sprintf("%s/%d: %s", v.topic, v.number, why)
			}
		}
	}
	return n, example
}
