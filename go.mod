module github.com/runnel-io/runnel

go 1.26.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // latencies of brokerctl bench: the format the field compares
	github.com/anishathalye/porcupine v1.3.1 // cross-check of histories in bench/chaos
	github.com/cockroachdb/datadriven v1.0.3 // tests by script with golden answers
	github.com/hashicorp/memberlist v0.7.0 // gossip: who is alive and where
	github.com/jedib0t/go-pretty/v6 v6.8.3 // brokerctl's tables
	github.com/klauspost/compress v1.20.4 // gzip, snappy and zstd of record batches
	github.com/pierrec/lz4/v4 v4.1.33 // lz4 of record batches
	github.com/prometheus/client_golang v1.25.0 // metrics
	github.com/schollz/progressbar/v3 v3.19.1 // progress bars of the demo and of brokerctl broker drain
	github.com/spf13/cobra v1.10.2 // commands, completion and help
	github.com/spf13/pflag v1.0.10 // cobra's flags, for the names of unknown ones
	github.com/spf13/viper v1.21.0 // settings from file, environment and flags
	github.com/twmb/franz-go v1.22.3 // Kafka's own producer, in tests of the record codec
	github.com/twmb/franz-go/pkg/kmsg v1.15.1 // Kafka's record batches, the reference of the record codec
	go.etcd.io/bbolt v1.5.0 // storage of the Raft logs
	go.etcd.io/raft/v3 v3.7.0 // consensus
	go.uber.org/goleak v1.3.0 // tests that no goroutine outlives its owner
	go.yaml.in/yaml/v3 v3.0.5 // keys of the settings file as written, which viper's merge loses
	golang.org/x/sync v0.25.0 // errgroup
	golang.org/x/sys v0.50.0 // fadvise, statfs, fdatasync, timerfd, rlimits
	golang.org/x/term v0.46.0 // is it a terminal
	google.golang.org/grpc v1.85.0 // RPC
	google.golang.org/protobuf v1.36.12 // messages
	pgregory.net/rapid v1.3.0 // property tests
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/fsnotify/fsnotify v1.9.0 // indirect
	github.com/go-viper/mapstructure/v2 v2.4.0 // indirect
	github.com/google/btree v1.1.3 // indirect
	github.com/hashicorp/errwrap v1.1.0 // indirect
	github.com/hashicorp/go-immutable-radix v1.3.1 // indirect
	github.com/hashicorp/go-metrics v0.7.0 // indirect
	github.com/hashicorp/go-msgpack/v2 v2.1.5 // indirect
	github.com/hashicorp/go-multierror v1.1.1 // indirect
	github.com/hashicorp/go-sockaddr v1.0.7 // indirect
	github.com/hashicorp/golang-lru v1.0.2 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/mattn/go-runewidth v0.0.16 // indirect
	github.com/miekg/dns v1.1.73 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pelletier/go-toml/v2 v2.2.4 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/sagikazarmark/locafero v0.11.0 // indirect
	github.com/sean-/seed v0.0.0-20170313163322-e2103e2c3529 // indirect
	github.com/sourcegraph/conc v0.3.1-0.20240121214520-5f936abd7ae8 // indirect
	github.com/spf13/afero v1.15.0 // indirect
	github.com/spf13/cast v1.10.0 // indirect
	github.com/subosito/gotenv v1.6.0 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)
