package main

import (
	"os"
	"regexp"
	"strings"
)

// secretKey is a setting whose value leads to a secret, or would be one if somebody wrote it there by mistake.
var secretKey = regexp.MustCompile(`(?i)(^|\.)(key|secret|password|passphrase|token|credentials?)($|\.)`)

// secretValue is a value that is a secret whatever its key: key material, or a URL with a password.
var secretValue = regexp.MustCompile(`-----BEGIN|\n|://[^/@\s]+:[^/@\s]+@`)

// cutOut stands where a secret was.
const cutOut = "(cut out)"

// tellable is a setting's value as others may read it: whoever may ask a broker is told its settings, and a support bundle has them.
// Secrets live in files, of which only the name is told. A value that should be such a name and is no file may be the secret itself.
func tellable(key, value string) string {
	if secretValue.MatchString(value) || value != "" && secretKey.MatchString(key) && !isFile(value) {
		return cutOut
	}
	return value
}

func isFile(name string) bool {
	info, err := os.Stat(strings.TrimSpace(name))
	return err == nil && info.Mode().IsRegular()
}
