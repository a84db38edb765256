package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by deploy/build (-ldflags "-X main.version=..."); without them the repository that was built in tells.
var version, commit string

// versionJSON is the answer of `version`.
type versionJSON struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of brokerctl", Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if a.output == "json" {
				return printJSON(a.out, v)
			}
			_, err := fmt.Fprintln(a.out, v)
			return err
		},
	}
}

func buildVersion() versionJSON {
	v := versionJSON{Version: version, Commit: commit, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && commit == "" {
				v.Commit = s.Value
			}
		}
	}
	if v.Version == "" {
		v.Version = "development"
		if len(v.Commit) >= 12 {
			v.Version += "-" + v.Commit[:12]
		}
	}
	return v
}

// String is the line of `version` and --version.
func (v versionJSON) String() string {
	return fmt.Sprintf("brokerctl %s, commit %s, %s", v.Version, orDash(v.Commit), v.Go)
}
