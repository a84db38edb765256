package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// secretKey is a setting whose value leads to a secret, or would be one if somebody wrote it there by mistake.
var secretKey = regexp.MustCompile(`(?i)(^|\.)(key|secret|password|passphrase|token|credentials?)($|\.)`)

// secretValue is a value that is a secret whatever its key: key material, or a URL with a password.
var secretValue = regexp.MustCompile(`-----BEGIN|\n|://[^/@\s]+:[^/@\s]+@`)

// cutOut stands where a secret was.
const cutOut = "(cut out)"

// tellable gives the settings in force as --print-config prints them, for others to read: a support bundle has them. Secrets live in
// files, of which only the name is told. A value that should be such a name and is no file may be the secret itself: it is cut out.
func tellable(v *viper.Viper) (string, error) {
	var raw bytes.Buffer
	if err := printConfig(&raw, v); err != nil {
		return "", err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(raw.Bytes(), &node); err != nil {
		return "", err
	}
	for _, doc := range node.Content {
		for i := 0; i+1 < len(doc.Content); i += 2 {
			cut(doc.Content[i].Value, doc.Content[i+1])
		}
	}
	out, err := yaml.Marshal(&node)
	return string(out), err
}

// cut takes the secrets out of a setting's value, which may be a list.
func cut(key string, value *yaml.Node) {
	for _, n := range append(value.Content, value) {
		if n.Kind != yaml.ScalarNode || n.Value == "" {
			continue
		}
		if secretValue.MatchString(n.Value) || secretKey.MatchString(key) && !isFile(n.Value) {
			n.SetString(cutOut)
		}
	}
}

func isFile(name string) bool {
	info, err := os.Stat(strings.TrimSpace(name))
	return err == nil && info.Mode().IsRegular()
}
