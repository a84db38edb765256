package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// rule is an alert as its file has it.
type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

// readRules reads the alerts of a folder.
func readRules(config string) ([]rule, error) {
	raw, err := os.ReadFile(filepath.Join(config, "alerts.yml"))
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	var out []rule
	err = eachRule(doc.Content[0], func(n *yaml.Node) error {
		var r rule
		err := n.Decode(&r)
		out = append(out, r)
		return err
	})
	return out, err
}

// eachRule gives each rule. One without a wait is an error: that it has none must be said.
func eachRule(doc *yaml.Node, f func(*yaml.Node) error) error {
	groups := at(doc, "groups")
	if groups == nil || len(groups.Content) == 0 {
		return fmt.Errorf("no groups of rules")
	}
	for _, g := range groups.Content {
		rules := at(g, "rules")
		if rules == nil {
			return fmt.Errorf("a group has no rules")
		}
		for _, r := range rules.Content {
			name := at(r, "alert")
			if name == nil {
				return fmt.Errorf("a rule is no alert")
			}
			if at(r, "for") == nil {
				return fmt.Errorf("%s says not how long it waits: write for: 0m", name.Value)
			}
			if err := f(r); err != nil {
				return fmt.Errorf("%s: %w", name.Value, err)
			}
		}
	}
	return nil
}
