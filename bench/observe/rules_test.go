package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/runnel-io/runnel/bench/observe/dashboards"
)

const config = "../../deploy/prometheus"

func rules(t *testing.T) []rule {
	t.Helper()
	all, err := readRules(config)
	if err != nil || len(all) < 15 {
		t.Fatalf("%d rules: %v", len(all), err)
	}
	return all
}

func text(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(config, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestEachAlertHasItsRunbookItsTestAndItsCause(t *testing.T) {
	book, tests := text(t, "RUNBOOKS.md"), text(t, "alerts_test.yml")
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(book, -1) {
		anchors[strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")] = true
	}
	caused := map[string]int{}
	for _, s := range steps() {
		for _, a := range s.alerts {
			caused[a]++
		}
	}
	const page = "https://github.com/runnel-io/runnel/blob/main/deploy/prometheus/RUNBOOKS.md#"
	seen := map[string]bool{}
	for _, r := range rules(t) {
		link, ok := strings.CutPrefix(r.Annotations["runbook_url"], page)
		if !ok || !anchors[link] {
			t.Errorf("%s: RUNBOOKS.md has no heading for %q", r.Alert, r.Annotations["runbook_url"])
		}
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no severity, summary or description", r.Alert)
		}
		for _, want := range []string{"alertname: " + r.Alert + "\n        exp_alerts:", ", alertname: " + r.Alert + "}"} {
			if !strings.Contains(tests, want) {
				t.Errorf("%s: alerts_test.yml lacks a case that fires, or one that does not: %q", r.Alert, want)
			}
		}
		if caused[r.Alert] != 1 {
			t.Errorf("%s: %d steps make it fire, want one", r.Alert, caused[r.Alert])
		}
		if seen[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		seen[r.Alert] = true
	}
	for a := range caused {
		if !seen[a] {
			t.Errorf("a step waits for %s, which is no rule", a)
		}
	}
}

func TestRunbooksNamePanelsThatAreThere(t *testing.T) {
	titles := map[string]bool{}
	for _, d := range dashboards.All() {
		for _, p := range d.Panels() {
			titles[p.Title] = true
		}
	}
	named := regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(text(t, "RUNBOOKS.md"), -1)
	if len(named) < 10 {
		t.Fatalf("%d panels are named: is this still how?", len(named))
	}
	for _, m := range named {
		if title := strings.Join(strings.Fields(m[1]), " "); !titles[title] {
			t.Errorf("no panel is called %q", title)
		}
	}
}

// Panels and rules name only metrics that the catalogue has.
func TestPanelsAndRulesNameMetricsThatAreThere(t *testing.T) {
	catalogue := text(t, "METRICS.md")
	check := func(where, expr string) {
		for _, name := range regexp.MustCompile(`runnel_[a-z0-9_]+`).FindAllString(expr, -1) {
			known := strings.Contains(catalogue, "`"+name+"`")
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base, ok := strings.CutSuffix(name, suffix)
				known = known || ok && strings.Contains(catalogue, "`"+base+"`")
			}
			if !known {
				t.Errorf("%s: METRICS.md has no %s", where, name)
			}
		}
	}
	for _, r := range rules(t) {
		check(r.Alert, r.Expr)
	}
	for _, d := range dashboards.All() {
		for _, p := range d.Panels() {
			for _, q := range p.Queries {
				check(d.Title+" / "+p.Title, q.Expr)
			}
		}
	}
}

// The run changes the waits and nothing else.
func TestOnlyTheWaitsAreShortened(t *testing.T) {
	dir := t.TempDir()
	if err := rewrite(filepath.Join(config, "alerts.yml"), filepath.Join(dir, "alerts.yml"), shorten); err != nil {
		t.Fatal(err)
	}
	short, err := readRules(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rules(t) {
		s := short[i]
		if s.Alert != r.Alert || s.Expr != r.Expr {
			t.Errorf("%s became %s: %s", r.Alert, s.Alert, s.Expr)
		}
		if r.For == "5m" && s.For != "5000ms" {
			t.Errorf("%s waits %s, want 5000ms", r.Alert, s.For)
		}
	}
}

func TestARuleWithoutAWaitIsRefused(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte("groups:\n- name: a\n  rules:\n  - alert: X\n    expr: up\n"), &doc); err != nil {
		t.Fatal(err)
	}
	if err := shorten(doc.Content[0]); err == nil || !strings.Contains(err.Error(), "X") {
		t.Errorf("the error is %v", err)
	}
}
