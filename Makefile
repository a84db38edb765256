# The commands of README.md and of daily work. Tools are pinned in .ci/tools.mod, so they never enter the product's go.mod.
TOOL := go tool -modfile=.ci/tools.mod

# All is built as a release is: static, and without the paths of this machine. So programs, tests, tools and release share one build cache.
export CGO_ENABLED ?= 0
export GOFLAGS ?= -trimpath

# The package whose tests take longest is begun first: the others go on beside it.
LONGEST := ./cmd/brokerd/broker

.PHONY: $(shell grep -oE '^[a-z-]+:' $(firstword $(MAKEFILE_LIST)) | tr -d :)

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

build: ## build bin/brokerd and bin/brokerctl
	go build -o bin/ ./cmd/brokerd ./cmd/brokerctl

demo: ## three brokers, the standard library's source as input, a SIGKILL midway, every file compared
	go run ./bench/demo

test: ## all tests; those of whole clusters mostly wait, so four run side by side; lint vets
	go test -timeout 20m -parallel 4 -vet=off $(LONGEST) ./...

# The product, and of bench what runs it and clients of it. The other programs are left out for their time: minutes to build and run.
RACED := ./cmd/... ./gossip/... ./partition/... ./placement/... ./rpc/... \
	./bench/chaos/... ./bench/proc ./bench/sim ./bench/stream ./bench/trial ./bench/workload

# The race detector's runtime is C.
race: export CGO_ENABLED := 1
race: ## the product's tests with the race detector, but the long ones
	go test -timeout 20m -parallel 2 -race -short -vet=off $(LONGEST) $(RACED)

lint: ## formatting, and golangci-lint, vet among its linters
	@test -z "$$(gofmt -l cmd partition placement gossip rpc bench proto)" || { gofmt -l cmd partition placement gossip rpc bench proto; exit 1; }
	$(TOOL) golangci-lint run ./...

proto: ## regenerate the code of the .proto files
	$(TOOL) buf lint proto
	$(TOOL) buf generate proto --template proto/buf.gen.yaml
	go test ./bench/docs/wire -count 1 -run TestThePage -rewrite
	.ci/verify --write

verify: ## fail if generated code or go.mod is stale
	.ci/verify

verify-anew: ## generate the code of the .proto files anew, elsewhere, and compare
	.ci/verify --anew

failover: ## SIGKILL the broker that leads most, 20 times: how long until the next acknowledged record
	go run ./bench/failover

restart: ## kill -9 with a 1 GiB partition: how long until it serves again
	go run ./bench/restart

killall: ## kill all brokers at once, again and again for half a minute under load, and check what was promised
	go run ./bench/chaos -duration $(or $(DURATION),30s) -seed $(or $(SEED),0) -faults killall

chaos: ## five brokers broken in every way under load, then every promise checked: make chaos DURATION=3m SEED=7 FAULTS=kill,wipe
	go run ./bench/chaos -duration $(or $(DURATION),3m) -seed $(or $(SEED),0) -faults $(or $(FAULTS),all) -least $(or $(LEAST),0)

soak: ## the same for hours, all checked every ten minutes: make soak DURATION=4h
	go run ./bench/chaos -duration $(or $(DURATION),2h) -seed $(or $(SEED),0) -faults $(or $(FAULTS),all)

crash: ## power cuts of the storage code, replayed from its system calls, and flipped bits: make crash STATES=20000 FLIPS=2000 SEED=1
	go run ./bench/crash -states $(or $(STATES),20000) -flips $(or $(FLIPS),2000) -seed $(or $(SEED),1)

elastic: ## 3 brokers under load: 2 join, 1 dies for good, 1 loses its disk, 1 is drained; then what a catch-up of MIB MiB costs others
	go run ./bench/elastic -catchup $(or $(MIB),512)

rolling: ## SIGTERM and start of each broker in turn, under load: errors and the longest wait for an acknowledgement
	go run ./bench/rolling -rounds $(or $(ROUNDS),2)

bench: ## the rows of the README's table, each three times, with the share of the raw disk
	go run ./bench/rows -limit $(if $(ROW),-row $(ROW))

bench-limit: ## the raw disk: three files with one fdatasync a batch of 4 KiB to 1 MiB, one bbolt commit, and what lasts
	go run ./bench/limit

bench-memory: ## the brokers' memory under the first row's load, by minute, and whether it is flat: make bench-memory DURATION=10m
	go run ./bench/memory -duration $(or $(DURATION),10m)

bench-peers: ## the same rows beside NATS JetStream and Apache Kafka, newest releases, in one run (QUICK=1: a check)
	cd bench/peers && go run . $(if $(QUICK),-quick) $(if $(ROW),-row $(ROW))

test-peers: ## vet and test the comparison, a module of its own
	cd bench/peers && go vet ./... && go test ./...

mutants: ## seed bugs into the product, one at a time: does each layer of tests find its own (NAME=a,b: only these)
	go run ./bench/mutants $(if $(NAME),-only $(NAME))

ci-full: verify-anew mutants overload starvation diskfull soak bench ## what takes too long for every change: some three hours

many: ## what a thousand partitions cost, idle and written to: make many N=1000
	go run ./bench/many -partitions $(or $(N),1000)

profile: ## profiles of all three brokers while a row runs: make profile ROW=200b-1
	go run ./bench/rows -profile -runs 1 -row $(or $(ROW),200b-1)

# The hot functions, each by itself: no brokers, no syncs.
HOT := ^Benchmark(Validate|Stamp|Build|AppendNoSync|ReadBatches|FrameEncode|FrameDecode|Produce|DecodeProduce|ProduceToAck|WaitersFire)$$
HOT_PACKAGES := ./partition/record ./partition/raftlog ./partition ./rpc/peer ./rpc/broker ./rpc/client
MICROBENCH = go test -run '^$$' -bench '$(HOT)' -benchtime 200ms -benchmem -count=6 $(HOT_PACKAGES)

microbench: ## the hot functions, time and allocations, beside the committed baseline
	@new=$$(mktemp); trap 'rm -f "$$new"' EXIT; $(MICROBENCH) > "$$new" || { cat "$$new"; exit 1; }; \
	$(TOOL) benchstat bench/results/microbench.txt "$$new"

microbench-baseline: ## measure the hot functions anew and keep that as the baseline
	@new=$$(mktemp); trap 'rm -f "$$new"' EXIT; $(MICROBENCH) > "$$new" || { cat "$$new"; exit 1; }; cp "$$new" bench/results/microbench.txt

fuzz: ## every fuzz target for 30 seconds, two at a time: FUZZTIME=10m FUZZ=FuzzBatch make fuzz
	.ci/fuzz

sim: ## whole clusters, simulated, under faults: make sim SEEDS=1000; SEEDS=1 SEED=123 HISTORY=1 replays one and prints what happened
	@mkdir -p bin && go test -c -o bin/sim.test ./bench/sim
	@bin/sim.test -test.run '^TestSeeds$$' -test.timeout 0 -sim.seeds $(or $(SEEDS),1000) -sim.from $(or $(SEED),1) $(if $(HISTORY),-sim.seed $(or $(SEED),1) -sim.history)
overload: ## far more than three brokers can do, of each kind and all at once: memory, errors, and what a well-behaved client notices
	go run ./bench/overload -duration $(or $(DURATION),30s)

starvation: ## all processors saturated by others: is a slow broker taken for dead?: make starvation DURATION=10m
	go run ./bench/starvation -duration $(or $(DURATION),10m)

diskfull: ## disks that others fill, below the reserve and to the last byte, under load; needs root, mkfs.ext4 and mkfs.xfs, and says so: make diskfull FS=xfs
	set -e; for fs in $(or $(FS),tmpfs ext4 xfs); do echo "== $$fs"; go run ./bench/diskfull -fs $$fs; done

observe: ## real Prometheus over three brokers that are broken in turn: does each alert fire, does each panel show data (CHARTS=dir draws them); needs root, and says so
	go run ./bench/observe $(if $(CHARTS),-charts $(CHARTS))

dashboards: ## write Grafana's dashboards anew from bench/observe/dashboards
	go run ./bench/observe -write deploy/grafana/dashboards
netns: ## three hosts with addresses of their own, in network namespaces: cut cables, changed addresses; needs root and ip, and says so
	@mkdir -p bin && go build -o bin/netns ./bench/netns && bin/netns -hold $(or $(HOLD),15s)

upgrade: ## the previous build and this one in one cluster, forward, back and forward under load: make upgrade FROM=<commit>
	@mkdir -p bin && go build -o bin/upgrade ./bench/upgrade && bin/upgrade -mixed $(or $(MIXED),10s) $(if $(FROM),-from $(FROM))
docs: ## the commands of deploy/README.md, in its order, against real clusters: make docs REWRITE=1 puts what they print into the page
	go run ./bench/docs $(if $(TEMP),-temp $(TEMP)) $(if $(REWRITE),-rewrite) deploy/README.md
vuln: ## known vulnerabilities in what the product reaches; where their database cannot be reached it says skipped, and fails
	@.ci/vuln

metrics-doc: ## write deploy/prometheus/METRICS.md from what a cluster shows
	go test ./cmd/brokerd/broker -run TestTheMetricsPageIsTrue -rewrite

rolling-statefulset: ## the same as Kubernetes updates a StatefulSet: from the last broker down, as soon as /readyz?replicated allows
	go run ./bench/rolling -statefulset -rounds $(or $(ROUNDS),2)

release: ## archives and checksums.txt in dist/: make release VERSION=v0.1.0
	@VERSION='$(VERSION)' deploy/release

image: ## the container image, of this tree and from scratch, by docker, podman or buildah: make image TAG=runnel
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; \
	OUT="$$out" deploy/build linux $$(go env GOARCH) brokerd brokerctl && deploy/image "$$out/brokerd" "$$out/brokerctl" '$(or $(TAG),runnel)'

manifests: ## write deploy/kubernetes/runnel.yaml from the chart's defaults
	cd deploy/check && go test -run TestPlainManifestsAreTheChartsDefaults -rewrite .

deploy: ## check what deploy/ ships: unit, compose files, manifests, chart, image, release
	.ci/deploy
