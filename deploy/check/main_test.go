package check

import "flag"

var rewrite = flag.Bool("rewrite", false, "write deploy/kubernetes/runnel.yaml anew")
