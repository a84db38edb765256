package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// settingArg is what `set` takes, one or more.
const settingArg = "KEY=VALUE"

func (a *app) clusterConfigCmd() *cobra.Command {
	return noun("config", "Show and change the settings that all brokers follow while they run", a.clusterConfigListCmd(),
		a.configSetCmd("set "+settingArg+"...", "Set settings of all brokers",
			"Set settings of all brokers. They follow them at once and go on with them after a restart, and a broker that joins does too. What is\n"+
				"set here goes before the brokers' files, and what is set for one broker goes before that. All are set, or none.",
			"  brokerctl cluster config set recovery.rate.bytes=16MiB\n  brokerctl cluster config set placement.automatic=false log.level=debug", false),
		a.configUnsetCmd("unset KEY...", "Remove settings of all brokers, so that each goes by its file again", false))
}

func (a *app) brokerConfigCmd() *cobra.Command {
	return noun("config", "Show a broker's settings, and change those that it follows while it runs", a.brokerConfigListCmd(),
		a.configSetCmd("set ID "+settingArg+"...", "Set settings of one broker",
			"Set settings of one broker. It follows them at once and goes on with them after a restart. They go before those of the cluster. All\nare set, or none.",
			"  brokerctl broker config set 2 log.level=debug", true),
		a.configUnsetCmd("unset ID KEY...", "Remove settings of one broker, so that it goes by those of the cluster or by its file again", true))
}

// clusterSettingJSON is an item of `cluster config list`.
type clusterSettingJSON struct {
	Key string `json:"key"`
	// Value is what is set for all brokers; empty if nothing is.
	Value string `json:"value"`
	// Brokers has what is set for single brokers.
	Brokers map[int32]string `json:"brokers"`
	// Whole settings have one value in the whole cluster.
	Whole bool `json:"whole_cluster"`
}

// brokerSettingJSON is an item of `broker config list`.
type brokerSettingJSON struct {
	Key   string `json:"key"`
	Value string `json:"value"` // in force
	// From is default, file, variable, flag, start, cluster or broker.
	From string `json:"from"`
	// Base is what the broker was started with.
	Base string `json:"base"`
	// Changes tells when a change takes effect: restart, runtime or file.
	Changes string `json:"changes"`
	Problem string `json:"problem,omitempty"`
}

// settings asks for those of a broker, or of the cluster if that is 0.
func (a *app) settings(ctx context.Context, broker int32) (resp *runnelv1.ListSettingsResponse, err error) {
	err = a.ask(ctx, func(ctx context.Context, c cluster) (err error) {
		resp, err = c.Admin().ListSettings(ctx, &runnelv1.ListSettingsRequest{Broker: broker})
		return err
	})
	return resp, err
}

func (a *app) clusterConfigListCmd() *cobra.Command {
	return &cobra.Command{
		Annotations: asks(), Use: "list", Short: "List the settings that change while brokers run, and what is set",
		Long: "List the settings that change while brokers run, what is set for all of them and what for single ones. Where nothing is set, each\n" +
			"broker goes by what it was started with: broker config list shows that.",
		Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := a.settings(cmd.Context(), 0)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, each(resp.GetSettings(), func(s *runnelv1.SettingDescription) clusterSettingJSON {
					own := map[int32]string{}
					maps.Copy(own, s.GetBrokers())
					return clusterSettingJSON{s.GetName(), s.GetValue(), own, s.GetWhole()}
				}))
			}
			g := newGrid("KEY", "VALUE", "BROKERS")
			for _, s := range resp.GetSettings() {
				var own []string
				for _, id := range slices.Sorted(maps.Keys(s.GetBrokers())) {
					own = append(own, fmt.Sprintf("%d:%s", id, s.GetBrokers()[id]))
				}
				g.add(s.GetName(), orDash(s.GetValue()), orDash(strings.Join(own, " ")))
			}
			return g.print(a.out)
		},
	}
}

func (a *app) brokerConfigListCmd() *cobra.Command {
	return &cobra.Command{
		Annotations: asks(), Use: "list ID", Short: "List a broker's settings as they are in force, and where each is from",
		Long: "List a broker's settings as they are in force, and where each is from: default, file, variable or flag of the broker, or cluster or\n" +
			"broker, set while it ran. CHANGES tells when a change takes effect: at a restart, at run time (config set), or when the file changes.",
		Args: these(brokerArg), ValidArgsFunction: a.completeBroker,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := onBroker(args)
			if err != nil {
				return err
			}
			resp, err := a.settings(cmd.Context(), id)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, each(resp.GetSettings(), func(s *runnelv1.SettingDescription) brokerSettingJSON {
					return brokerSettingJSON{s.GetName(), s.GetValue(), s.GetSource(), s.GetBase(), s.GetReload(), s.GetProblem()}
				}))
			}
			g := newGrid("KEY", "VALUE", "FROM", "CHANGES")
			for _, s := range resp.GetSettings() {
				g.add(s.GetName(), orDash(s.GetValue()), s.GetSource(), s.GetReload())
			}
			if err := g.print(a.out); err != nil {
				return err
			}
			for _, s := range resp.GetSettings() {
				if p := s.GetProblem(); p != "" {
					a.tell("warning: %s: %s\n", s.GetName(), p)
				}
			}
			return nil
		},
	}
}

// configSetCmd is `set` of all brokers, or of the one that the first argument names.
func (a *app) configSetCmd(use, short, long, example string, one bool) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: configArgs(one, settingArg, "a setting and its value"), ValidArgsFunction: a.completeConfig(one),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, rest, err := configBroker(one, args)
			if err != nil {
				return err
			}
			set, err := keyValues(verb(cmd), rest)
			if err != nil {
				return err
			}
			return a.alterSettings(cmd.Context(), &runnelv1.AlterSettingsRequest{Broker: id, Set: set})
		},
	}
}

// configUnsetCmd is `unset`, likewise.
func (a *app) configUnsetCmd(use, short string, one bool) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: configArgs(one, "KEY", "the setting's name"), ValidArgsFunction: a.completeConfig(one),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, rest, err := configBroker(one, args)
			if err != nil {
				return err
			}
			return a.alterSettings(cmd.Context(), &runnelv1.AlterSettingsRequest{Broker: id, Unset: rest})
		},
	}
}

// configArgs wants at least one argument after the broker's id, if that is wanted.
func configArgs(one bool, name, what string) cobra.PositionalArgs {
	wants := []argument{{name, what}}
	if one {
		wants = append([]argument{brokerArg}, wants...)
	}
	return func(cmd *cobra.Command, args []string) error {
		return these(wants...)(cmd, args[:min(len(args), len(wants))])
	}
}

func configBroker(one bool, args []string) (id int32, rest []string, err error) {
	if !one {
		return 0, args, nil
	}
	id, err = onBroker(args)
	return id, args[1:], err
}

// completeConfig offers brokers, and then the settings that change while brokers run.
func (a *app) completeConfig(one bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if one && len(args) == 0 {
			return a.completeBroker(cmd, args, typed)
		}
		names, d := a.complete(cmd, nil, func(ctx context.Context, c cluster) (names []string, err error) {
			resp, err := c.Admin().ListSettings(ctx, &runnelv1.ListSettingsRequest{})
			for _, s := range resp.GetSettings() {
				if !one || !s.GetWhole() {
					names = append(names, s.GetName())
				}
			}
			return names, err
		})
		return names, d | cobra.ShellCompDirectiveNoSpace
	}
}

// alteredJSON is the answer of `set` and `unset`.
type alteredJSON struct {
	Broker   int32               `json:"broker,omitempty"`
	Revision uint64              `json:"revision"`
	Changes  []settingChangeJSON `json:"changes"`
}

// settingChangeJSON has empty values where nothing was set, or is not any more.
type settingChangeJSON struct {
	Key string `json:"key"`
	Old string `json:"old"`
	New string `json:"new"`
}

func (a *app) alterSettings(ctx context.Context, r *runnelv1.AlterSettingsRequest) error {
	var resp *runnelv1.AlterSettingsResponse
	err := a.ask(ctx, func(ctx context.Context, c cluster) (err error) {
		resp, err = c.Admin().AlterSettings(ctx, r)
		return err
	})
	if err != nil {
		return err
	}
	if a.output == "json" {
		return printJSON(a.out, alteredJSON{r.GetBroker(), resp.GetRevision(), each(resp.GetChanges(), func(c *runnelv1.SettingChange) settingChangeJSON {
			return settingChangeJSON{c.GetName(), c.GetOld(), c.GetNew()}
		})})
	}
	if len(resp.GetChanges()) == 0 {
		_, err := fmt.Fprintln(a.out, "nothing changed: it was so before")
		return err
	}
	for _, c := range resp.GetChanges() {
		if _, err := fmt.Fprintf(a.out, "%s: %s -> %s\n", c.GetName(), orUnset(c.GetOld()), orUnset(c.GetNew())); err != nil {
			return err
		}
	}
	return nil
}

func orUnset(v string) string {
	if v == "" {
		return "unset"
	}
	return v
}
