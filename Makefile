TOOL := go tool -modfile=.ci/tools.mod

.PHONY: proto
proto: ## regenerate the code of the .proto files
	$(TOOL) buf lint proto
	$(TOOL) buf generate proto --template proto/buf.gen.yaml
