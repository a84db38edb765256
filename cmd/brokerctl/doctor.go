package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/cmd/brokerctl/doctor"
)

// doctorJSON is the answer of `doctor`.
type doctorJSON struct {
	// File is where the bundle is; Bytes is its size.
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	// Cluster is empty if none answered; Telling of Brokers gave their metrics.
	Cluster  string           `json:"cluster"`
	Brokers  int              `json:"brokers"`
	Telling  int              `json:"telling"`
	Findings []doctor.Finding `json:"findings"`
	Notes    []string         `json:"notes"`
	Entries  []doctor.Entry   `json:"entries"`
}

// Bounds of what doctor is told.
const (
	maxDoctorProfile = 5 * time.Minute
	doctorBytes      = 256 << 20
)

func (a *app) doctorCmd() *cobra.Command {
	var out, unit string
	var logs, http []string
	var profile time.Duration
	cmd := &cobra.Command{
		Annotations: asks(), Use: "doctor", Short: "Say what looks wrong, and pack what others need to help into one file",
		Long: "Say what looks wrong, and pack what others need to help into one file: the cluster's state, moves and plan, and of each\n" +
			"broker its metrics, health, settings and, where pprof is on, profiles; logs of this machine if they are named, or are in its\n" +
			"journal. Records are never read. Keys are not either, and values that look like secrets are cut out of texts; still, look at\n" +
			"the file before you give it away. It works while brokers are down, and changes nothing. Findings do not make it fail: -o json\n" +
			"has them for a script.",
		Example: "  brokerctl doctor --log /var/log/runnel/brokerd.log\n" +
			"  brokerctl doctor --http 10.0.0.3:7073 --profile 30s --out broker-3.tar.gz",
		Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if profile < 0 || profile > maxDoctorProfile {
				return fmt.Errorf("--profile is %v: use a time from 0s, for none, to %v", profile, maxDoctorProfile)
			}
			seeds, err := a.seeds()
			if err != nil {
				return err
			}
			made := time.Now()
			if out == "" {
				out = doctor.DefaultName(made)
			}
			return a.with(connectSpec{}, func(c cluster) error {
				o := doctor.Options{
					Admin: c.Admin(), Seeds: seeds, HTTP: http, Logs: logs, Unit: unit, Patience: a.timeout, Profile: profile.Truncate(time.Second),
					MaxBytes: doctorBytes, Environ: os.Environ(), By: buildVersion().String(), Now: time.Now,
					Progress: func(line string) { _, _ = fmt.Fprintln(a.errOut, line) }, // nowhere else to say it
				}
				return a.doctor(cmd.Context(), out, o)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "file to write (default runnel-doctor-TIME.tar.gz in this folder)")
	f.StringSliceVar(&http, "http", nil, "HTTP addresses of brokers, host:port,..., besides those that the cluster tells")
	f.StringSliceVar(&logs, "log", nil, "log files of this machine, whose end goes into the bundle")
	f.StringVar(&unit, "unit", "brokerd", "unit whose journal goes into the bundle if no --log is given; empty for none")
	f.DurationVar(&profile, "profile", 5*time.Second, "how long the brokers' processors are watched where pprof is on, and moves; 0s for neither")
	return cmd
}

func (a *app) doctor(ctx context.Context, name string, o doctor.Options) error {
	r, size, err := pack(ctx, name, o)
	if err != nil {
		return err
	}
	return a.tellDoctor(name, size, r)
}

// pack makes the bundle under another name first, so that what bears the name asked for is whole.
func pack(ctx context.Context, name string, o doctor.Options) (r doctor.Result, size int64, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".runnel-doctor-*") // for its owner alone
	if err != nil {
		return r, 0, fmt.Errorf("%w: --out names another place", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	r, err = doctor.Run(ctx, tmp, o)
	size, sizeErr := tmp.Seek(0, io.SeekCurrent)
	if err := errors.Join(err, sizeErr, tmp.Close()); err != nil {
		return r, 0, err
	}
	return r, size, os.Rename(tmp.Name(), name)
}

func (a *app) tellDoctor(name string, bytes int64, r doctor.Result) error {
	if a.output == "json" {
		return printJSON(a.out, doctorJSON{
			File: name, Bytes: bytes, Cluster: r.Cluster, Brokers: r.Brokers, Telling: r.Telling,
			Findings: orEmpty(r.Findings), Notes: orEmpty(r.Notes), Entries: orEmpty(r.Manifest.Entries),
		})
	}
	var b strings.Builder
	b.WriteString(r.Text())
	files := int64(0)
	for _, e := range r.Manifest.Entries {
		switch e.Error {
		case "":
			files++
			continue
		case doctor.ProfilesOff: // a note has it, once for all brokers
			continue
		}
		fmt.Fprintf(&b, "not there: %s: %s\n", e.Name, e.Error)
	}
	fmt.Fprintf(&b, "written: %s, %s, %s. No records are in it; look at it before you give it away\n", name, plural(files, "file"), size(bytes))
	_, err := io.WriteString(a.out, b.String())
	return err
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
